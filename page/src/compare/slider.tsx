// The query to the left of a line that can be moved, what was found to the right of it.

import { useState } from "preact/hooks";

import type { Pair } from "./lines";
import { Overlay } from "./overlay";

export function Slider(pair: Pair) {
  const [at, setAt] = useState(50);
  return (
    <Overlay {...pair} clip={`inset(0 ${100 - at}% 0 0)`}>
      <span class="slider-line" style={{ left: `${at}%` }} aria-hidden="true" />
      <input
        class="slider"
        type="range"
        min={0}
        max={100}
        step={1}
        value={at}
        aria-label="How much of the query is shown"
        onInput={({ currentTarget }) => setAt(currentTarget.valueAsNumber)}
      />
    </Overlay>
  );
}
