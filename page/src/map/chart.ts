// The map as it is moved: by pointers, the wheel and the keyboard. It draws when something changed.

import type { MapPoint } from "../service";
import { THUMBNAIL, draw } from "./drawing";
import { Thumbnails } from "./thumbnails";
import { type Viewport, apart, beyond, fitted, moved, nearest, onScreen, zoomed } from "./viewport";

const PICTURES_FROM = 1.6; // times the scale at which all is seen
const CLICK_PIXELS = 5;
const STEP = 80;
const FACTOR = 1.5;

const DIRECTIONS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export interface Told {
  /** A point is pointed at or reached by keyboard, or none any more. */
  onFocus: (point: MapPoint | undefined) => void;
  onOpen: (point: MapPoint) => void;
}

export class Chart {
  highlighted?: string;
  private view: Viewport;
  private fit = 1;
  private pictured = new Set<MapPoint>();
  private picturedAt = 0;
  private focused?: MapPoint;
  private frame = 0;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private travelled = 0;
  private readonly thumbnails: Thumbnails;
  private readonly ending = new AbortController();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly points: MapPoint[],
    name: string,
    private readonly colourOf: (point: MapPoint) => string,
    private readonly told: Told,
  ) {
    this.thumbnails = new Thumbnails(name, () => this.redraw());
    this.view = fitted(points, 1, 1);
    this.listen();
  }

  close(): void {
    this.ending.abort();
    cancelAnimationFrame(this.frame);
  }

  zoom(factor: number): void {
    const { x, y } = this.focused ? onScreen(this.focused, this.view) : this.middle();
    this.see(zoomed(this.view, factor, x, y, this.fit));
  }

  whole(): void {
    this.see(fitted(this.points, this.view.width, this.view.height));
  }

  highlight(label: string | undefined): void {
    this.highlighted = label;
    this.redraw();
  }

  private see(view: Viewport): void {
    this.view = view;
    this.redraw();
  }

  private redraw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    const { scale } = this.view;
    if (scale !== this.picturedAt) {
      const shown = scale > this.fit * PICTURES_FROM;
      this.pictured = shown ? apart(this.points, scale, THUMBNAIL + 6) : new Set();
      this.picturedAt = scale;
    }
    draw(this.canvas, {
      points: this.points,
      view: this.view,
      pictured: this.pictured,
      thumbnails: this.thumbnails,
      colourOf: this.colourOf,
      highlighted: this.highlighted,
      focused: this.focused,
      style: getComputedStyle(this.canvas),
    });
  }

  private focus(point: MapPoint | undefined): void {
    if (point === this.focused) return;
    this.focused = point;
    this.canvas.style.cursor = point ? "pointer" : "";
    this.told.onFocus(point);
    this.redraw();
  }

  private listen(): void {
    const { canvas } = this;
    const { signal } = this.ending;
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(canvas);
    signal.addEventListener("abort", () => observer.disconnect());
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.redraw(), { signal });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { signal, passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event), { signal });
    canvas.addEventListener("pointermove", (event) => this.move(event), { signal });
    for (const end of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(end, (event) => this.up(event), { signal });
    canvas.addEventListener("pointerleave", () => this.focus(undefined), { signal });
    canvas.addEventListener("keydown", (event) => this.key(event), { signal });
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const density = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    const whole = fitted(this.points, width, height);
    const wasWhole = this.view.scale === this.fit || this.view.width <= 1;
    this.fit = whole.scale;
    this.see(wasWhole ? whole : { ...this.view, width, height });
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    const { x, y } = this.at(event);
    this.see(zoomed(this.view, Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), x, y, this.fit));
  }

  private down(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
    this.travelled = this.pointers.size > 1 ? Infinity : 0;
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    const now = this.at(event);
    if (!before) {
      this.focus(nearest(this.points, this.view, now.x, now.y, this.reach()));
      return;
    }
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    this.travelled += Math.hypot(now.x - before.x, now.y - before.y);
    let view = moved(this.view, (now.x - before.x) / (other ? 2 : 1), (now.y - before.y) / (other ? 2 : 1));
    if (other) {
      const [, { x, y }] = other;
      const factor = Math.hypot(now.x - x, now.y - y) / Math.max(1, Math.hypot(before.x - x, before.y - y));
      view = zoomed(view, factor, (now.x + x) / 2, (now.y + y) / 2, this.fit);
    }
    this.see(view);
  }

  private up(event: PointerEvent): void {
    const isClick = this.pointers.delete(event.pointerId) && this.travelled < CLICK_PIXELS;
    if (!isClick || event.type !== "pointerup") return;
    const { x, y } = this.at(event);
    const point = nearest(this.points, this.view, x, y, this.reach());
    const isSecond = point === this.focused || event.pointerType === "mouse";
    this.focus(point);
    if (point && isSecond) this.told.onOpen(point); // a finger points first, then opens
  }

  private key(event: KeyboardEvent): void {
    const direction = DIRECTIONS[event.key];
    if (direction && event.shiftKey) this.see(moved(this.view, -STEP * direction[0], -STEP * direction[1]));
    else if (direction) this.step(direction);
    else if (event.key === "+" || event.key === "=") this.zoom(FACTOR);
    else if (event.key === "-") this.zoom(1 / FACTOR);
    else if (event.key === "0" || event.key === "Home") this.whole();
    else if (event.key === "Enter" && this.focused) this.told.onOpen(this.focused);
    else if (event.key === "Escape" && this.focused) this.focus(undefined);
    else return;
    event.preventDefault();
  }

  private step(direction: readonly [number, number]): void {
    const { x, y } = this.middle();
    const next = this.focused
      ? beyond(this.points, this.view, this.focused, direction)
      : nearest(this.points, this.view, x, y, Infinity);
    if (!next) return;
    this.focus(next);
    const place = onScreen(next, this.view);
    const inside = (value: number, size: number) => value > THUMBNAIL && value < size - THUMBNAIL;
    if (!inside(place.x, this.view.width) || !inside(place.y, this.view.height))
      this.see({ ...this.view, x: next.x, y: next.y });
  }

  private reach(): number {
    return this.pictured.size ? THUMBNAIL / 2 : 14;
  }

  private middle() {
    return { x: this.view.width / 2, y: this.view.height / 2 };
  }

  private at({ clientX, clientY }: MouseEvent) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }
}
