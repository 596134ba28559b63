// What the page asks the service. Every refusal is thrown as a Problem, in the service's own words.

import { admitted } from "./admission";

export interface Collection {
  name: string;
  pictures: number;
  recipe: string;
  upload_bytes: number;
  reads_text: boolean;
  comparators?: string[];
  looks_again?: string[];
}

/** One that cannot be opened; the service goes on trying. */
export interface Broken {
  name: string;
  problem: { detail: string };
}

export interface Picture {
  id: string;
  path: string;
  label: string | null;
  width: number;
  height: number;
  thumbnail: string;
}

export interface Stored extends Picture {
  format: string;
  size: number;
}

export type Kinship = "copy" | "near" | "similar";
export type Point = [number, number];

export interface Hit extends Picture {
  score: number;
  scores?: Record<string, number | null>;
  kinship?: Kinship | null;
  alike?: { id: string; path: string; score: number }[];
}

export interface Evidence {
  inliers: number;
  matches: number;
  mirrored: boolean;
  region: Point[] | null;
  points: [number, number, number, number][];
}

export interface Matched {
  scores: Record<string, number | null>;
  unavailable: Record<string, string>;
  evidence: Evidence | null;
  size_a: Point;
  size_b: Point;
}

export interface Count {
  value: string;
  count: number;
}

export interface Facets {
  labels: Count[];
  formats: Count[];
  sizes: { least: number; below: number | null; count: number }[];
}

export interface MapPoint {
  id: string;
  x: number;
  y: number;
  label: string | null;
}

export interface Kept {
  name: string;
  id: string | null;
  outcome: "stored" | "copy" | "replaced" | "unchanged" | null;
  problem: string | null;
}

export interface Tuning {
  recall: number;
  k: number;
  sample: number;
  measured: number;
  median_ms: number;
  p99_ms: number;
}

export interface EmbeddingStats {
  index: string;
  structure: string;
  dim: number;
  distance: string;
  vectors: number;
  cache_bytes: number;
  memory_bytes: number;
  tuning: Tuning | null;
}

export interface Stats {
  path: string;
  recipe: string;
  pictures: number;
  places: number;
  failed: number;
  labels: number;
  formats: Record<string, number>;
  original_bytes: number;
  catalogue_bytes: number;
  embeddings: Record<string, EmbeddingStats>;
  local_features?: { pictures: number; bytes: number; words: number; index_bytes: number };
}

export interface Duplicate {
  id: string;
  path: string;
  width: number;
  height: number;
  bytes: number;
}

export interface Duplicates {
  /** Those that take most space, of all. */
  groups: DuplicateGroup[];
  total: number;
  bytes: number;
  /** Seconds since they were found. */
  age: number;
  /** Whether the collection is still as it was then. */
  current: boolean;
}

export interface DuplicateGroup {
  kind: "exact" | "copy" | "near";
  bytes: number;
  keep: Duplicate & { why: string };
  others: Duplicate[];
}

export class Problem extends Error {
  readonly kind: string;
  constructor({ type = "about:blank", detail = "" }: { type?: string; detail?: string }) {
    super(detail);
    this.kind = type.split(":").pop() ?? "";
  }
}

export const at = (name: string) => `/v1/collections/${encodeURIComponent(name)}`;

export const thumbnailOf = (name: string, id: string) =>
  `${at(name)}/pictures/${encodeURIComponent(id)}/thumbnail`;

export const collections = () =>
  ask<{ collections: Collection[]; broken: Broken[] }>("/v1/collections");

export const stats = (name: string) => ask<Stats>(`${at(name)}/stats`);

export const picture = (name: string, id: string) =>
  ask<Stored>(`${at(name)}/pictures/${encodeURIComponent(id)}`);

export const someOf = (name: string, limit: number, signal?: AbortSignal) =>
  ask<{ pictures: Stored[]; total: number }>(`${at(name)}/pictures?spread=true&limit=${limit}`, {
    signal,
  });

export const facets = (name: string, where: string, signal?: AbortSignal) =>
  ask<Facets>(`${at(name)}/facets?${new URLSearchParams(where ? { where } : {})}`, { signal });

export const map = (name: string, signal?: AbortSignal) =>
  ask<{ points: MapPoint[]; total: number }>(`${at(name)}/map`, { signal });

/** Groups of the same picture: those found last, if there are any, then those of the collection as it is. */
export async function* duplicates(name: string, signal?: AbortSignal) {
  for (let wait = 0; ; wait = 30) {
    const response = await fetched(`${at(name)}/duplicates?wait=${wait}&limit=500`, { signal });
    if (response.status === 202) continue;
    const found = await answered<Duplicates>(response);
    yield found;
    if (found.current) return;
  }
}

/** The bytes of a stored picture, as large as the service gives them. */
export async function bytesOf(name: string, id: string, signal?: AbortSignal): Promise<Blob> {
  const response = await fetched(`${thumbnailOf(name, id)}?side=1024`, { signal });
  if (!response.ok) throw new Problem({ detail: "That picture is not there any more." });
  return response.blob();
}

export const post = <Answer>(address: string, body: FormData, signal?: AbortSignal) =>
  ask<Answer>(address, { method: "POST", body, signal });

export async function ask<Answer>(address: string, options?: RequestInit): Promise<Answer> {
  return answered(await fetched(address, options));
}

async function answered<Answer>(response: Response): Promise<Answer> {
  const answer: unknown = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(answer as { type?: string; detail?: string });
  return answer as Answer;
}

async function fetched(address: string, options?: RequestInit): Promise<Response> {
  const response = await sent(address, options);
  return response.status === 401 && (await admitted()) ? sent(address, options) : response;
}

async function sent(address: string, options?: RequestInit): Promise<Response> {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem({ detail: "The service does not answer. Is it still running?" });
  }
}

export const isAbort = (error: unknown) => error instanceof Error && error.name === "AbortError";
