// Values with counts, any of which may be chosen.

import { useState } from "preact/hooks";

import type { Count } from "../service";
import { number } from "../wording";

const SHOWN_AT_FIRST = 6;

interface Props {
  title: string;
  values: Count[];
  chosen: string[];
  onChoose: (values: string[]) => void;
}

export function Facet({ title, values, chosen, onChoose }: Props) {
  const [all, setAll] = useState(false);
  const missing = chosen.filter((each) => !values.some(({ value }) => value === each));
  const every = [...missing.map((value) => ({ value, count: 0 })), ...values];
  if (every.length < 2 && !chosen.length) return null;
  const shown = all ? every : every.filter(({ value }, i) => i < SHOWN_AT_FIRST || chosen.includes(value));
  return (
    <fieldset class="facet">
      <legend>{title}</legend>
      <ul class={all ? "scrolled" : ""}>
        {shown.map(({ value, count }) => (
          <li key={value}>
            <label>
              <input
                type="checkbox"
                checked={chosen.includes(value)}
                onChange={({ currentTarget: { checked } }) =>
                  onChoose(checked ? [...chosen, value] : chosen.filter((each) => each !== value))
                }
              />
              <span class="facet-value">{value}</span>
              <span class="facet-count">{number(count)}</span>
            </label>
          </li>
        ))}
      </ul>
      {every.length > shown.length || all ? (
        <button type="button" class="quiet" onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${every.length}`}
        </button>
      ) : null}
    </fieldset>
  );
}
