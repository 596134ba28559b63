// The hits of what is wanted, whichever way the service takes the question.

import { type Wanted, inWords } from "./address";
import { filterOf } from "./filters";
import { type Hit, type Stored, ask, at, bytesOf, post } from "./service";

export const PAGE = 24;
const LARGEST_THUMBNAIL = 1024;

export interface Found {
  hits: Hit[];
  took_ms: number;
  /** How many the service gave: the picture that is asked with is left out of `hits`. */
  received: number;
}

/** The next hits. `stored`: the picture that is asked with, if it is one of the collection's. */
export async function search(
  wanted: Wanted,
  offset: number,
  stored?: Stored,
  signal?: AbortSignal,
): Promise<Found> {
  const { name, like, crop, unlike } = wanted;
  const fields = fieldsOf(wanted, offset);
  if (like && !crop && !unlike.length) {
    const id = encodeURIComponent(like);
    const address = `${at(name)}/pictures/${id}/similar?${new URLSearchParams(fields)}`;
    return found(await ask(address, { signal }));
  }
  const body = new FormData();
  for (const [field, value] of Object.entries(fields)) body.set(field, value);
  for (const file of wanted.files ?? []) body.append("image", file);
  if (like) body.append("image", await bytesOf(name, like, signal), "picture.jpg");
  for (const id of unlike) body.append("unlike", await bytesOf(name, id, signal), "unlike.jpg");
  if (crop) body.set("crop", inWords(like ? onThumbnail(crop, stored) : crop));
  return found(await post(`${at(name)}/search`, body, signal), like);
}

function found({ hits, took_ms }: { hits: Hit[]; took_ms: number }, itself?: string): Found {
  return { hits: hits.filter(({ id }) => id !== itself), took_ms, received: hits.length };
}

function fieldsOf(wanted: Wanted, offset: number): Record<string, string> {
  const where = filterOf(wanted);
  return {
    k: String(PAGE),
    offset: String(offset),
    ...(where && { where }),
    ...(wanted.text && { text: wanted.text }),
    ...(wanted.compare && { compare: wanted.compare.join(",") }),
    ...(wanted.fused && { order: "fused" }),
    ...(wanted.collapse && { collapse: "true" }),
  };
}

/** A box of a stored picture in the pixels of its largest thumbnail, which is what is sent. */
function onThumbnail(box: NonNullable<Wanted["crop"]>, stored?: Stored) {
  const scale = stored ? Math.min(1, LARGEST_THUMBNAIL / Math.max(stored.width, stored.height)) : 1;
  return {
    x: box.x * scale,
    y: box.y * scale,
    width: box.width * scale,
    height: box.height * scale,
  };
}
