// Small pictures for the map: a few are fetched at once, those asked for last first.

import { thumbnailOf } from "../service";

const AT_ONCE = 6;
const KEPT = 800;

export class Thumbnails {
  private readonly images = new Map<string, HTMLImageElement | "wanted" | "gone">();
  private wanted: string[] = [];
  private loading = 0;

  constructor(
    private readonly name: string,
    private readonly onLoad: () => void,
  ) {}

  /** The picture if it is there; else it is asked for. */
  get(id: string): HTMLImageElement | undefined {
    const there = this.images.get(id);
    if (there === undefined) {
      this.images.set(id, "wanted");
      this.wanted.push(id);
      this.next();
    }
    return typeof there === "object" ? there : undefined;
  }

  private next(): void {
    if (this.loading >= AT_ONCE) return;
    const id = this.wanted.pop();
    if (id === undefined) return;
    this.loading += 1;
    const image = new Image();
    const settle = (result: HTMLImageElement | "gone") => {
      this.loading -= 1;
      this.images.set(id, result);
      this.forget();
      this.onLoad();
      this.next();
    };
    image.onload = () => settle(image);
    image.onerror = () => settle("gone");
    image.src = `${thumbnailOf(this.name, id)}?side=128`;
    this.next();
  }

  private forget(): void {
    for (const [id, image] of this.images) {
      if (this.images.size <= KEPT) return;
      if (image !== "wanted") this.images.delete(id);
    }
  }
}
