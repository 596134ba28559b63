// The hits as a grid, or why there are none.

import { type Wanted, start } from "../address";
import { type Page, type View, addressOf, loadMore } from "../session";
import { counted } from "../wording";
import { Tile, WaitingTiles } from "./tile";

export function Results({ view, busy, waiting, filterProblem }: Page) {
  const isThere = view && view.pictures.length > 0;
  const title = view?.asked ? "Most alike" : "Start from one of these";
  return (
    <section class="results" aria-labelledby={isThere ? "results-title" : undefined}>
      <div class="results-head">
        {isThere && <h2 id="results-title">{title}</h2>}
        <p id="status" role="status">
          {view && statusOf(view)}
        </p>
      </div>
      <ul class="grid" id="grid" key={view?.key} aria-busy={busy ? "true" : undefined}>
        {waiting ? <WaitingTiles /> : view && <Tiles view={view} />}
      </ul>
      {view && !isThere && !waiting && !filterProblem && <Nothing view={view} />}
      <button
        type="button"
        class="more"
        hidden={waiting || !view || view.ended}
        onClick={() => void loadMore()}
      >
        Show more
      </button>
    </section>
  );
}

const Tiles = ({ view }: { view: View }) => (
  <>
    {view.pictures.map((picture) => (
      <Tile key={picture.id} picture={picture} view={view} />
    ))}
  </>
);

function statusOf({ asked, pictures, took }: View): string {
  if (!asked || !pictures.length) return "";
  return `best ${counted(pictures.length)} · ${Math.round(took ?? 0)} ms`;
}

function Nothing({ view: { asked, wanted, path } }: { view: View }) {
  if (!asked) {
    return (
      <Empty title="Nothing is in here yet" text="Index a folder of pictures, then come back:">
        <code>lookalike index ~/Pictures -c {path}</code>
        <p>or</p>
        <a class="button" href={addressOf({ ...start(wanted.name), view: "add" })}>
          Add pictures here
        </a>
      </Empty>
    );
  }
  return isFiltered(wanted) ? (
    <Empty title="No picture passes this filter" text="Change it, or clear it to see all." />
  ) : (
    <Empty
      title="Nothing else is in this collection"
      text="Index more pictures to find look-alikes."
    />
  );
}

const isFiltered = ({ where, labels, formats }: Wanted) =>
  Boolean(where) || labels.length + formats.length > 0;

interface EmptyProps {
  title: string;
  text: string;
  children?: preact.ComponentChildren;
}

const Empty = ({ title, text, children }: EmptyProps) => (
  <div class="empty" id="empty">
    <h2>{title}</h2>
    <p>{text}</p>
    {children}
  </div>
);
