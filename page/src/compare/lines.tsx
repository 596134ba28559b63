// Both pictures, with a line between every two places that agree and a frame about the region.

import { useMemo } from "preact/hooks";

import type { Matched, Point } from "../service";
import { useWidth } from "./width";

const LONG = 600;
const GAP = 36;
const STACKED_BELOW = 620;
const MOST_LINES = 160;
const COLOURS = 6;

export interface Pair {
  first: string;
  second: string;
  matched: Matched;
}

export function Lines({ first, second, matched }: Pair) {
  const [frame, width] = useWidth();
  const isStacked = width > 0 && width < STACKED_BELOW;
  const drawing = useMemo(() => arranged(matched, isStacked), [matched, isStacked]);
  const { a, b, lines, region } = drawing;
  return (
    <div class="lines" ref={frame}>
      <svg
        viewBox={`0 0 ${drawing.width} ${drawing.height}`}
        role="img"
        aria-label={`Both pictures, with ${matched.evidence?.inliers ?? 0} places that agree`}
      >
        <image href={first} x={a.x} y={a.y} width={a.width} height={a.height} preserveAspectRatio="none" />
        <image href={second} x={b.x} y={b.y} width={b.width} height={b.height} preserveAspectRatio="none" />
        <clipPath id="second">
          <rect x={b.x} y={b.y} width={b.width} height={b.height} />
        </clipPath>
        {region && (
          <g clip-path="url(#second)">
            <polygon class="region-under" points={region} />
            <polygon class="region" points={region} />
          </g>
        )}
        {lines.map(([x1, y1, x2, y2], i) => (
          <g key={i} class={`line hue-${i % COLOURS}`}>
            <line x1={x1} y1={y1} x2={x2} y2={y2} />
            <circle cx={x1} cy={y1} r="3.5" />
            <circle cx={x2} cy={y2} r="3.5" />
          </g>
        ))}
      </svg>
    </div>
  );
}

interface Placed {
  x: number;
  y: number;
  width: number;
  height: number;
  scale: number;
}

/** Both in one drawing: of one height beside each other, or of one width below each other. */
function arranged({ size_a, size_b, evidence }: Matched, isStacked: boolean) {
  const side = isStacked ? 0 : 1;
  const a = placed(size_a, LONG / size_a[side]);
  const b = placed(size_b, LONG / size_b[side]);
  if (isStacked) b.y = a.height + GAP / 2;
  else b.x = a.width + GAP;
  const points = evidence?.points ?? [];
  const every = Math.max(1, Math.ceil(points.length / MOST_LINES));
  return {
    a,
    b,
    width: isStacked ? LONG : b.x + b.width,
    height: isStacked ? b.y + b.height : LONG,
    lines: points
      .filter((_, i) => i % every === 0)
      .map(([xa, ya, xb, yb]) => [...on(a, [xa, ya]), ...on(b, [xb, yb])] as const),
    region: evidence?.region?.map((corner) => on(b, corner).join()).join(" "),
  };
}

const placed = ([width, height]: Point, scale: number): Placed => ({
  x: 0,
  y: 0,
  width: width * scale,
  height: height * scale,
  scale,
});

const on = ({ x, y, scale }: Placed, [px, py]: Point): Point => [x + px * scale, y + py * scale];
