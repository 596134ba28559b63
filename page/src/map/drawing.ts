// One frame of the map on a canvas.

import type { MapPoint } from "../service";
import type { Thumbnails } from "./thumbnails";
import { type Viewport, onScreen } from "./viewport";

export const THUMBNAIL = 52;
const RADIUS = 9;

export interface Scene {
  points: MapPoint[];
  view: Viewport;
  /** Points that are shown as pictures. */
  pictured: Set<MapPoint>;
  thumbnails: Thumbnails;
  /** The custom property that holds the colour of a point. */
  colourOf: (point: MapPoint) => string;
  /** The label that stands out; all others step back. */
  highlighted?: string;
  focused?: MapPoint;
  style: CSSStyleDeclaration;
}

export function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { view } = scene;
  const density = devicePixelRatio || 1;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  const seen = scene.points.filter((point) => isSeen(point, view));
  drawDots(context, seen, scene);
  for (const point of seen) {
    if (scene.pictured.has(point) && stands(point, scene)) drawPicture(context, point, scene);
  }
  if (scene.focused) drawFocused(context, scene.focused, scene);
}

const stands = ({ label }: MapPoint, { highlighted }: Scene) =>
  highlighted === undefined || label === highlighted;

function isSeen(point: MapPoint, view: Viewport): boolean {
  const { x, y } = onScreen(point, view);
  const edge = THUMBNAIL;
  return x > -edge && y > -edge && x < view.width + edge && y < view.height + edge;
}

function drawDots(context: CanvasRenderingContext2D, seen: MapPoint[], scene: Scene): void {
  const radius = Math.min(5, Math.max(2.2, 90 / Math.sqrt(seen.length + 1)));
  const byColour = new Map<string, MapPoint[]>();
  for (const point of seen) {
    const colour = scene.colourOf(point);
    const same = byColour.get(colour);
    if (same) same.push(point);
    else byColour.set(colour, [point]);
  }
  for (const [colour, points] of byColour) {
    for (const isFaint of [true, false]) {
      context.globalAlpha = isFaint ? 0.12 : 0.8;
      context.fillStyle = scene.style.getPropertyValue(colour);
      context.beginPath();
      for (const point of points) {
        if (stands(point, scene) === isFaint) continue;
        const { x, y } = onScreen(point, scene.view);
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
      }
      context.fill();
    }
  }
  context.globalAlpha = 1;
}

function drawPicture(context: CanvasRenderingContext2D, point: MapPoint, scene: Scene, size = THUMBNAIL) {
  const image = scene.thumbnails.get(point.id);
  if (!image) return;
  const { x, y } = onScreen(point, scene.view);
  const [left, top] = [Math.round(x - size / 2), Math.round(y - size / 2)];
  const square = Math.min(image.naturalWidth, image.naturalHeight);
  context.save();
  context.beginPath();
  context.roundRect(left, top, size, size, RADIUS);
  context.fillStyle = scene.style.getPropertyValue("--surface");
  context.fill();
  context.clip();
  context.drawImage(
    image,
    (image.naturalWidth - square) / 2,
    (image.naturalHeight - square) / 2,
    square,
    square,
    left,
    top,
    size,
    size,
  );
  context.restore();
  context.beginPath();
  context.roundRect(left, top, size, size, RADIUS);
  context.lineWidth = 2;
  context.strokeStyle = scene.style.getPropertyValue(scene.colourOf(point));
  context.stroke();
}

function drawFocused(context: CanvasRenderingContext2D, point: MapPoint, scene: Scene): void {
  const { x, y } = onScreen(point, scene.view);
  drawPicture(context, point, scene, THUMBNAIL + 12);
  const half = (THUMBNAIL + 12) / 2 + 4;
  context.beginPath();
  if (scene.thumbnails.get(point.id)) context.roundRect(x - half, y - half, 2 * half, 2 * half, RADIUS + 4);
  else context.arc(x, y, 10, 0, 2 * Math.PI);
  context.lineWidth = 3;
  context.strokeStyle = scene.style.getPropertyValue("--ink");
  context.stroke();
}
