// Pictures on their way into a collection. It goes on while the reader looks at other views.

import { type Kept, Problem, at, isAbort, post } from "../service";
import { changed, fail, page } from "../session";
import { type Picked, mayBePicture } from "./picking";

const AT_ONCE = 2;
const FILES_IN_A_REQUEST = 8;

export interface Progress {
  /** Files that are waiting to be sent for, until the reader says so. */
  offered: Picked[];
  total: number;
  stored: number;
  known: number;
  refused: { name: string; problem: string }[];
  began: number;
  ended?: number;
  isRunning: boolean;
}

interface Batch {
  label: string;
  files: File[];
}

export class Uploading {
  progress: Progress = nothing();
  private readonly followers = new Set<() => void>();
  private under = new AbortController();

  constructor(private readonly name: string) {}

  follow(follower: () => void): () => void {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  /** Show what could be added. */
  offer(given: Picked[]): void {
    const pictures = given.filter(({ file }) => mayBePicture(file));
    if (!pictures.length) {
      fail(new Problem({ detail: "There is no picture in that." }));
      return;
    }
    const offered = [...this.progress.offered, ...pictures];
    this.change(this.progress.isRunning ? { offered } : { ...nothing(), offered });
  }

  withdraw(): void {
    this.change({ offered: [] });
  }

  /** Send what was offered: with this label, or without one each with the name of its folder. */
  async start(label?: string): Promise<void> {
    const { offered } = this.progress;
    const batches = batched(offered, label, this.limit());
    this.under = new AbortController();
    this.change({ ...nothing(), total: offered.length, began: Date.now(), isRunning: true });
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.send(batches)));
    this.change({ isRunning: false, ended: Date.now() });
    await changed(this.name).catch(fail);
  }

  /** What has arrived by then is kept. */
  stop(): void {
    this.under.abort();
  }

  private async send(batches: Batch[]): Promise<void> {
    const { signal } = this.under;
    for (let batch = batches.shift(); batch && !signal.aborted; batch = batches.shift()) {
      try {
        const answer = await post<{ results: Kept[] }>(`${at(this.name)}/pictures`, form(batch), signal);
        this.note(answer.results);
      } catch (problem) {
        if (isAbort(problem)) return;
        const message = problem instanceof Error ? problem.message : "";
        this.note(batch.files.map(({ name }) => ({ name, id: null, outcome: null, problem: message })));
      }
    }
  }

  private note(results: Kept[]): void {
    const { stored, known, refused } = this.progress;
    const failed = results.filter(({ problem }) => problem !== null);
    const fresh = results.filter(({ outcome }) => outcome === "stored" || outcome === "replaced");
    this.change({
      stored: stored + fresh.length,
      known: known + results.length - failed.length - fresh.length,
      refused: [...refused, ...failed.map(({ name, problem }) => ({ name, problem: problem ?? "" }))],
    });
  }

  private limit(): number {
    return page.every.find(({ name }) => name === this.name)?.upload_bytes ?? Infinity;
  }

  private change(some: Partial<Progress>): void {
    this.progress = { ...this.progress, ...some };
    for (const follower of this.followers) follower();
  }
}

const every = new Map<string, Uploading>();

/** What is being added to a collection. */
export function adding(name: string): Uploading {
  const there = every.get(name) ?? new Uploading(name);
  every.set(name, there);
  return there;
}

/** Requests of a few pictures each that share a label; the limit counts for all of one request. */
function batched(given: Picked[], label: string | undefined, limit: number): Batch[] {
  const batches: Batch[] = [];
  const open = new Map<string, Batch & { size: number }>();
  for (const { file, folder } of given) {
    const own = label ?? folder;
    let batch = open.get(own);
    if (!batch || batch.files.length === FILES_IN_A_REQUEST || batch.size + file.size > limit) {
      batch = { label: own, files: [], size: 0 };
      open.set(own, batch);
      batches.push(batch);
    }
    batch.files.push(file);
    batch.size += file.size;
  }
  return batches;
}

function form({ label, files }: Batch): FormData {
  const body = new FormData();
  if (label) body.set("label", label);
  for (const file of files) body.append("images", file);
  return body;
}

function nothing(): Progress {
  return { offered: [], total: 0, stored: 0, known: 0, refused: [], began: 0, isRunning: false };
}
