// Boxes on a picture, in its own pixels.

import type { Box } from "../address";

export interface Size {
  width: number;
  height: number;
}

/** The box between two points that were dragged; none if it is a mere click. */
export function dragged(
  [x1, y1]: [number, number],
  [x2, y2]: [number, number],
  size: Size,
): Box | undefined {
  const [left, right] = [Math.min(x1, x2), Math.max(x1, x2)];
  const [top, bottom] = [Math.min(y1, y2), Math.max(y1, y2)];
  const least = Math.max(4, Math.min(size.width, size.height) / 50);
  if (right - left < least || bottom - top < least) return undefined;
  const x = Math.max(0, left);
  const y = Math.max(0, top);
  return clamped({ x, y, width: right - x, height: bottom - y }, size);
}

/** The same box in whole pixels, inside the picture. */
export function clamped(box: Box, { width, height }: Size): Box {
  const x = Math.round(Math.min(Math.max(box.x, 0), width - 1));
  const y = Math.round(Math.min(Math.max(box.y, 0), height - 1));
  return {
    x,
    y,
    width: Math.round(Math.min(Math.max(box.width, 1), width - x)),
    height: Math.round(Math.min(Math.max(box.height, 1), height - y)),
  };
}
