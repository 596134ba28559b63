// What is shown and how it changes: a query leads to a view, a view is an entry of the history.

import { type Wanted, isQuery, read, start, write } from "./address";
import { type Asked, askedWith } from "./asking";
import { PAGE, search } from "./searching";
import {
  type Broken,
  type Collection,
  type Hit,
  type Matched,
  Problem,
  type Stored,
  at,
  collections,
  isAbort,
  picture,
  post,
  someOf,
  stats,
} from "./service";
import { softly } from "./transition";
import { called, shareALabel } from "./wording";

const BACKGROUND_MS = 150;

export interface View {
  key: string;
  wanted: Wanted;
  asked?: Asked;
  pictures: (Hit | Stored)[];
  /** Whether labels tell none of the pictures from another. */
  alike: boolean;
  received: number;
  ended: boolean;
  took?: number;
  /** Of an empty collection: where it lies. */
  path?: string;
  beside?: { other: Stored; matched: Matched };
  scroll?: number;
}

export interface Page {
  every: Collection[];
  /** Collections that the service cannot open. */
  broken: Broken[];
  view?: View;
  /** What is being loaded to take its place: choices show at once. */
  pending?: Wanted;
  /** Something is awaited: what is there stays. */
  busy: boolean;
  /** It takes long: placeholders take the place of what is there. */
  waiting: boolean;
  banner: string;
  filterProblem?: { where: string; message: string };
}

export const page: Page = { every: [], broken: [], busy: true, waiting: true, banner: "" };

const views = new Map<string, View>(); // by the key of a history entry, so that Back is instant
let under: AbortController | undefined; // what may still be called off
let draw: () => void;

/** Show what the address says, and from then on what it comes to say. */
export async function begin(onChange: () => void): Promise<void> {
  draw = onChange;
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => void arrive().catch(fail));
  draw();
  try {
    await count();
    if (page.every.length === 0) throw new Problem({ detail: nothingToShow() });
    await arrive();
  } catch (problem) {
    fail(problem);
  }
}

/** Show what the address says: on arrival, after Back, after an edit of the address. */
async function arrive(): Promise<void> {
  under?.abort();
  page.banner = ""; // what went wrong before is over
  if (page.view) page.view.scroll = scrollY;
  let view = views.get(entry().key);
  if (!view) {
    change({ waiting: true, busy: true });
    const wanted = read(location.hash, first());
    let failure: unknown;
    try {
      view = await load(wanted);
    } catch (problem) {
      if (isAbort(problem)) return; // the reader went on meanwhile
      failure = problem;
      const bare = isQuery(wanted) && isBadFilter(problem);
      view = await load(bare ? { ...wanted, where: undefined } : start(known(wanted.name)));
    }
    remember(view, "replaceState", location.hash || "#");
    show(view);
    if (failure && isQuery(view.wanted)) failFilter(wanted.where, failure);
    else if (failure) fail(failure);
  } else show(view);
  scrollTo(0, view.scroll ?? 0);
}

/** Load a view, and only if that succeeds make it the one that is shown. */
export async function navigate(wanted: Wanted, from?: HTMLElement | null): Promise<void> {
  const scroll = scrollY; // before what waits takes the place of what is there
  change({ banner: "", busy: true, pending: wanted });
  const slow = setTimeout(() => change({ waiting: true }), BACKGROUND_MS);
  try {
    const view = await load(wanted);
    if (page.view) page.view.scroll = scroll;
    remember(view, "pushState", write(wanted, first()));
    page.view = view; // from now on, though it is drawn only with the next frame
    await softly(() => {
      if (view !== page.view) return; // Back was quicker
      show(view);
      scrollTo(0, 0);
      if (document.activeElement === document.body) focusTitle();
    }, from);
  } catch (problem) {
    if (isAbort(problem)) return;
    clearTimeout(slow);
    change({ waiting: false, busy: false, pending: undefined });
    scrollTo(0, scroll);
    if (isBadFilter(problem)) failFilter(wanted.where, problem);
    else fail(problem);
  } finally {
    clearTimeout(slow);
  }
}

export async function loadMore(): Promise<void> {
  const { view } = page;
  if (!view) return;
  change({ busy: true });
  try {
    const { hits, received } = await search(view.wanted, view.received, view.asked?.stored);
    const before = view.pictures.length;
    view.pictures = [...view.pictures, ...hits];
    view.received += received;
    view.ended = received === 0;
    if (view !== page.view) return;
    change({ busy: false });
    const links = document.querySelectorAll<HTMLElement>("#grid .tile > a");
    links[before]?.focus({ preventScroll: true });
  } catch (problem) {
    fail(problem);
  }
}

/** Ask with files of the reader's. */
export function askWith(files: File[]): void {
  if (files.length && page.every.length) void navigate({ ...start(here()), files });
}

/** Change something about the query that is shown. */
export function refine(change: Partial<Wanted>, from?: HTMLElement): void {
  const shown = page.pending ?? page.view?.wanted;
  if (shown) void navigate({ ...shown, ...change }, from);
}

/** Leave what is shown: to where the reader came from, else to the start. */
export function leave(): void {
  if (entry().depth) history.back();
  else if (page.view) void navigate(closed(page.view.wanted));
}

/** Take note that a collection has changed: what was shown of it before is asked for again. */
export async function changed(name: string): Promise<void> {
  for (const [key, { wanted }] of views) if (wanted.name === name) views.delete(key);
  await count();
  draw();
}

/** Say that something has gone wrong; of a filter that is said where it was typed. */
export function fail(problem: unknown): void {
  if (isAbort(problem) || isBadFilter(problem)) return;
  if (!(problem instanceof Problem)) console.error(problem);
  const message = problem instanceof Error ? problem.message : "";
  change({ busy: false, banner: message || "Something went wrong." });
}

export const dismiss = () => change({ banner: "" });
export const forgetFilterProblem = () => change({ filterProblem: undefined });

/** The collection that is shown, or would be. */
export const here = () => page.view?.wanted.name ?? first();
export const collection = () => page.every.find(({ name }) => name === here());
export const addressOf = (wanted: Wanted) => write(wanted, first());
export const wantedBy = (hash: string) => read(hash, first());

/** What closing a view leads to: from side by side to the hits, from those to the start. */
export const closed = (wanted: Wanted): Wanted =>
  wanted.beside ? { ...wanted, beside: undefined } : start(wanted.name);

async function load(wanted: Wanted): Promise<View> {
  under?.abort();
  under = new AbortController();
  const { signal } = under;
  const key = crypto.randomUUID();
  const empty = { key, wanted, pictures: [], alike: true, received: 0, ended: true };
  if (wanted.view !== "search") return known(wanted.name) === wanted.name ? empty : gone(wanted);
  if (!isQuery(wanted)) return { ...empty, ...(await toBegin(wanted, signal)) };
  refuseTooLarge(wanted);
  if (wanted.beside) return { ...empty, ...(await sideBySide(wanted, wanted.beside, signal)) };
  const stored = wanted.crop && (await askedWith(wanted));
  const [asked, { hits, took_ms, received }] = await Promise.all([
    stored ?? askedWith(wanted),
    search(wanted, 0, stored?.stored, signal),
  ]);
  const alike = shareALabel(hits);
  if (asked.stored) asked.title = called(asked.stored, alike);
  const ended = received < PAGE && !wanted.collapse;
  return { ...empty, asked, pictures: hits, alike, took: took_ms, received, ended };
}

async function toBegin({ name }: Wanted, signal: AbortSignal) {
  const { pictures, total } = await someOf(name, PAGE, signal);
  const there = page.every.find((each) => each.name === name);
  if (there) there.pictures = total;
  const path = total ? undefined : (await stats(name)).path;
  return { pictures, path, alike: shareALabel(pictures) };
}

async function sideBySide(wanted: Wanted, id: string, signal: AbortSignal) {
  const body = new FormData();
  body.set("id_b", id);
  if (wanted.like) body.set("id_a", wanted.like);
  else body.append("image", wanted.files?.[0] ?? new Blob());
  const [asked, other, matched] = await Promise.all([
    askedWith(wanted),
    picture(wanted.name, id),
    post<Matched>(`${at(wanted.name)}/match`, body, signal),
  ]);
  return { asked, beside: { other, matched } };
}

async function count(): Promise<void> {
  const { collections: every, broken } = await collections();
  Object.assign(page, { every, broken });
}

const nothingToShow = () =>
  page.broken.length ? "No collection can be opened." : "No collection is served here.";

function gone({ name }: Wanted): never {
  const isBroken = page.broken.some((each) => each.name === name);
  const broken = `The collection ${name} cannot be opened.`;
  throw new Problem({ detail: isBroken ? broken : `No collection named ${name} is served here.` });
}

function refuseTooLarge({ name, files = [] }: Wanted): void {
  const limit = page.every.find((each) => each.name === name)?.upload_bytes ?? Infinity;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size <= limit) return;
  const detail = `That is ${(size / 1e6).toFixed(1)} MB; the most is ${limit / 1e6} MB.`;
  throw new Problem({ detail });
}

function show(view: View): void {
  document.title = view.asked ? `${view.asked.title} – lookalike` : "lookalike";
  change({ view, pending: undefined, busy: false, waiting: false, filterProblem: undefined });
}

function change(some: Partial<Page>): void {
  Object.assign(page, some);
  draw();
}

function failFilter(where: string | undefined, problem: unknown): void {
  const message = problem instanceof Error ? problem.message : "";
  change({ filterProblem: { where: where ?? "", message }, busy: false });
  document.getElementById("where")?.focus();
}

function focusTitle(): void {
  document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
}

function remember(view: View, how: "pushState" | "replaceState", address: string): void {
  const depth = entry().depth + (how === "pushState" ? 1 : 0);
  views.set(view.key, view);
  history[how]({ key: view.key, depth }, "", address);
}

interface Entry {
  key: string;
  depth: number;
}

const entry = (): Entry => (history.state as Entry | null) ?? { key: "", depth: 0 };
const first = () => page.every[0]?.name ?? "";
const known = (name: string) => (page.every.some((each) => each.name === name) ? name : first());
const isBadFilter = (problem: unknown) => problem instanceof Problem && problem.kind === "bad-filter";
