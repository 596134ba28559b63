// Bars and shares as lists: each value is there in words as well, so that no picture is needed.

import { bytes, number } from "../wording";

export interface Bar {
  name: string;
  value: number;
  /** The value in words, unless it is a count. */
  text?: string;
}

/** Horizontal bars, the longest as long as there is room unless `whole` says what that is. */
export function Bars({ bars, whole }: { bars: Bar[]; whole?: number }) {
  const longest = whole ?? Math.max(1, ...bars.map(({ value }) => value));
  if (!bars.length) return <p class="about">Nothing yet.</p>;
  return (
    <ul class="bars">
      {bars.map(({ name, value, text }) => (
        <li key={name}>
          <span class="bar-name">{name}</span>
          <span class="bar" style={{ "--share": value / longest }} />
          <span class="bar-value">{text ?? number(value)}</span>
        </li>
      ))}
    </ul>
  );
}

/** Parts of a whole, in bytes. */
export function Shares({ shares }: { shares: Bar[] }) {
  const whole = shares.reduce((sum, { value }) => sum + value, 0);
  return (
    <>
      <p class="whole">{bytes(whole)}</p>
      <div class="shares" aria-hidden="true">
        {shares.map(({ name, value }, index) => (
          <span key={name} class={`share hue-${index}`} style={{ flexGrow: value / whole }} />
        ))}
      </div>
      <ul class="share-names">
        {shares.map(({ name, value }, index) => (
          <li key={name}>
            <span class={`dot hue-${index}`} />
            {name}
            <span class="bar-value">{bytes(value)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
