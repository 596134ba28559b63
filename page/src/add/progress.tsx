// How far an upload has come, and what could not be taken.

import type { ComponentChildren } from "preact";

import { counted, number } from "../wording";
import type { Progress } from "./uploading";

interface Props {
  progress: Progress;
  onStop: () => void;
  children: ComponentChildren;
}

export function ProgressReport({ progress, onStop, children }: Props) {
  const { total, stored, known, refused, isRunning } = progress;
  const done = stored + known + refused.length;
  return (
    <div class="card progress">
      <h2>{isRunning ? `Adding ${counted(total)}` : done < total ? "Stopped" : "Done"}</h2>
      <progress max={total} value={done} aria-label="Pictures that were sent" />
      <p role="status">
        {number(done)} of {number(total)}
        {isRunning && done > 0 ? ` · ${pace(progress, done)}` : ""}
      </p>
      <dl class="scores">
        <div>
          <dt>added</dt>
          <dd>{number(stored)}</dd>
        </div>
        <div>
          <dt>there already</dt>
          <dd>{number(known)}</dd>
        </div>
        <div>
          <dt>refused</dt>
          <dd>{number(refused.length)}</dd>
        </div>
      </dl>
      {refused.length > 0 && (
        <details>
          <summary>What was refused, and why</summary>
          <ul class="refusals">
            {refused.map(({ name, problem }, index) => (
              <li key={index}>
                <strong>{name}</strong> {problem}
              </li>
            ))}
          </ul>
        </details>
      )}
      <div class="offer-buttons">
        {isRunning ? (
          <button type="button" onClick={onStop}>
            Stop
          </button>
        ) : (
          children
        )}
      </div>
    </div>
  );
}

function pace({ began, total }: Progress, done: number): string {
  const seconds = (Date.now() - began) / 1000;
  const left = Math.ceil(((total - done) * seconds) / done);
  const rate = done / Math.max(seconds, 0.1);
  const time = left > 90 ? `${Math.round(left / 60)} minutes` : counted(left, "second");
  return `${rate.toFixed(rate < 10 ? 1 : 0)} a second, ${time} left`;
}
