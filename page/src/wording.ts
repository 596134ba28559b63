// How numbers, sizes and pictures are put in words.

import type { Picture } from "./service";

const NUMBERS = new Intl.NumberFormat("en");
const AGO = new Intl.RelativeTimeFormat("en");
const UNITS = [
  [86_400, "day"],
  [3_600, "hour"],
  [60, "minute"],
] as const;

export const number = (value: number) => NUMBERS.format(value);

export const counted = (count: number, one = "picture", many = `${one}s`) =>
  `${number(count)} ${count === 1 ? one : many}`;

export function bytes(size: number): string {
  if (size < 1e3) return `${size} B`;
  if (size < 1e6) return `${Math.ceil(size / 1e3)} kB`;
  return size < 1e9 ? `${(size / 1e6).toFixed(1)} MB` : `${(size / 1e9).toFixed(1)} GB`;
}

/** How long ago something was, in whole minutes, hours or days. */
export function ago(seconds: number): string {
  const [length, unit] = UNITS.find(([length]) => seconds >= length) ?? [0, "minute"];
  return length ? AGO.format(-Math.floor(seconds / length), unit) : "just now";
}

export const fileName = (path: string) => path.split("/").pop() ?? path;

/** What a picture is called: its label, else (or where `alike` are all labels) its file's name. */
export const called = ({ label, path }: Picture, alike: boolean) =>
  label && !alike ? label : fileName(path);

/** Whether the label tells none of these from another, as in a folder without folders. */
export const shareALabel = (pictures: Picture[]) =>
  new Set(pictures.map(({ label }) => label)).size < 2;

export const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** A comparator's score, in its own scale, in few digits. */
export const score = (value: number | null) =>
  value === null ? "–" : Number.isInteger(value) ? number(value) : value.toFixed(2);
