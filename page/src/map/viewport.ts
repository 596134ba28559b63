// Which part of the plane is seen, and where its points are on the screen, in CSS pixels.

import type { MapPoint } from "../service";

export interface Viewport {
  /** The point of the plane in the middle of the screen. */
  x: number;
  y: number;
  /** Pixels for one unit of the plane. */
  scale: number;
  width: number;
  height: number;
}

const MARGIN = 40;
const MOST_ENLARGED = 200;

export const onScreen = ({ x, y }: { x: number; y: number }, view: Viewport) => ({
  x: (x - view.x) * view.scale + view.width / 2,
  y: (view.y - y) * view.scale + view.height / 2,
});

/** All points, as large as there is room. */
export function fitted(points: MapPoint[], width: number, height: number): Viewport {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of points) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    bottom = Math.min(bottom, y);
    top = Math.max(top, y);
  }
  if (!points.length) [left, right, bottom, top] = [-1, 1, -1, 1];
  const scale = Math.min(
    (width - 2 * MARGIN) / Math.max(right - left, 0.1),
    (height - 2 * MARGIN) / Math.max(top - bottom, 0.1),
  );
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.max(scale, 1), width, height };
}

export const moved = (view: Viewport, dx: number, dy: number): Viewport => ({
  ...view,
  x: view.x - dx / view.scale,
  y: view.y + dy / view.scale,
});

/** Enlarged by a factor, about a place on the screen that stays where it is. */
export function zoomed(view: Viewport, factor: number, px: number, py: number, least: number) {
  const scale = Math.min(Math.max(view.scale * factor, least * 0.8), least * MOST_ENLARGED);
  const dx = px - view.width / 2;
  const dy = py - view.height / 2;
  return {
    ...view,
    scale,
    x: view.x + dx / view.scale - dx / scale,
    y: view.y - dy / view.scale + dy / scale,
  };
}

/** The point nearest to a place on the screen, if it is at most so many pixels away. */
export function nearest(
  points: MapPoint[],
  view: Viewport,
  px: number,
  py: number,
  within: number,
): MapPoint | undefined {
  let best: MapPoint | undefined;
  let least = within * within;
  for (const point of points) {
    const { x, y } = onScreen(point, view);
    const distance = (x - px) ** 2 + (y - py) ** 2;
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

/** The next point in a direction: near, and not far off the straight line. */
export function beyond(
  points: MapPoint[],
  view: Viewport,
  from: MapPoint,
  [dx, dy]: readonly [number, number],
): MapPoint | undefined {
  const start = onScreen(from, view);
  let best: MapPoint | undefined;
  let least = Infinity;
  for (const point of points) {
    const { x, y } = onScreen(point, view);
    const along = (x - start.x) * dx + (y - start.y) * dy;
    const aside = Math.abs((x - start.x) * dy - (y - start.y) * dx);
    const cost = along + 2 * aside;
    if (along > 1 && aside < along && cost < least) [best, least] = [point, cost];
  }
  return best;
}

/**
 * Points that lie at least so many pixels apart, the first of any that do not. They are the same
 * wherever the viewport is moved, so pictures do not come and go.
 */
export function apart(points: MapPoint[], scale: number, pixels: number): Set<MapPoint> {
  const chosen = new Set<MapPoint>();
  const cells = new Map<string, MapPoint>();
  const cell = pixels / scale;
  for (const point of points) {
    const [column, row] = [Math.floor(point.x / cell), Math.floor(point.y / cell)];
    if (isFree(cells, column, row, point, cell)) {
      cells.set(`${column},${row}`, point);
      chosen.add(point);
    }
  }
  return chosen;
}

function isFree(
  cells: Map<string, MapPoint>,
  column: number,
  row: number,
  { x, y }: MapPoint,
  least: number,
): boolean {
  for (let i = column - 1; i <= column + 1; i++) {
    for (let j = row - 1; j <= row + 1; j++) {
      const other = cells.get(`${i},${j}`);
      if (other && Math.max(Math.abs(other.x - x), Math.abs(other.y - y)) < least) return false;
    }
  }
  return true;
}
