// The second picture with the first laid over it, where it lies or else filling the same frame.

import type { ComponentChildren } from "preact";

import type { Pair } from "./lines";
import { matrixTo } from "./homography";
import { useWidth } from "./width";

interface Props extends Pair {
  /** What hides a part of the first picture, or all of it. */
  clip?: string;
  isHidden?: boolean;
  children?: ComponentChildren;
}

export function Overlay({ first, second, matched, clip, isHidden, children }: Props) {
  const [frame, width] = useWidth();
  const [widthB, heightB] = matched.size_b;
  const [widthA, heightA] = matched.size_a;
  const scale = width / widthB;
  const corners = matched.evidence?.region?.map(([x, y]): [number, number] => [x * scale, y * scale]);
  const matrix = corners && matrixTo(corners, widthA, heightA);
  const style = matrix
    ? { width: `${widthA}px`, height: `${heightA}px`, transform: matrix }
    : undefined;
  return (
    <div
      class="overlay"
      ref={frame}
      style={{ aspectRatio: `${widthB} / ${heightB}`, "--ratio": widthB / heightB }}
    >
      <img src={second} alt="The picture that was found" draggable={false} />
      <div class="overlay-first" style={{ clipPath: clip }} hidden={isHidden}>
        <img
          src={first}
          alt="The query"
          draggable={false}
          class={matrix ? "warped" : "fitted"}
          style={style}
        />
      </div>
      {children}
    </div>
  );
}
