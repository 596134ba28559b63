// The projective map that lays one picture over its region in another.

import type { Point } from "../service";

/**
 * As a CSS matrix: takes a box of `width` x `height`, its origin the upper left, to `corners`,
 * clockwise from the upper left. After Heckbert, "Fundamentals of texture mapping", 1989.
 */
export function matrixTo(corners: Point[], width: number, height: number): string | undefined {
  const [p0, p1, p2, p3] = corners;
  if (!p0 || !p1 || !p2 || !p3) return undefined;
  const [sx, sy] = [p0[0] - p1[0] + p2[0] - p3[0], p0[1] - p1[1] + p2[1] - p3[1]];
  const [dx1, dy1] = [p1[0] - p2[0], p1[1] - p2[1]];
  const [dx2, dy2] = [p3[0] - p2[0], p3[1] - p2[1]];
  const area = dx1 * dy2 - dx2 * dy1;
  if (Math.abs(area) < 1e-9) return undefined;
  const g = (sx * dy2 - dx2 * sy) / area;
  const h = (dx1 * sy - sx * dy1) / area;
  const [a, d] = [p1[0] - p0[0] + g * p1[0], p1[1] - p0[1] + g * p1[1]];
  const [b, e] = [p3[0] - p0[0] + h * p3[0], p3[1] - p0[1] + h * p3[1]];
  const columns = [a, d, 0, g, b, e, 0, h, 0, 0, 1, 0, p0[0], p0[1], 0, 1];
  const scales = [width, width, 1, width, height, height, 1, height];
  return `matrix3d(${columns.map((value, i) => value / (scales[i] ?? 1)).join()})`;
}
