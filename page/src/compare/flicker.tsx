// The query and what was found in turn, at one place: what differs is what moves.

import { useEffect, useState } from "preact/hooks";

import { Icon } from "../icons";
import { isStill } from "../transition";
import type { Pair } from "./lines";
import { Overlay } from "./overlay";

const TURN_MS = 700;

export function Flicker(pair: Pair) {
  const [isHidden, setHidden] = useState(false);
  const [runs, setRuns] = useState(!isStill());
  useEffect(() => {
    if (!runs) return;
    const timer = setInterval(() => setHidden((before) => !before), TURN_MS);
    return () => clearInterval(timer);
  }, [runs]);
  return (
    <>
      <Overlay {...pair} isHidden={isHidden}>
        <span class="overlay-name">{isHidden ? "Found" : "Query"}</span>
      </Overlay>
      <div class="flicker-buttons">
        <button type="button" onClick={() => setRuns(!runs)}>
          <Icon name={runs ? "pause" : "play"} />
          {runs ? "Pause" : "Play"}
        </button>
        {!runs && (
          <button type="button" onClick={() => setHidden(!isHidden)}>
            Show the other
          </button>
        )}
      </div>
    </>
  );
}
