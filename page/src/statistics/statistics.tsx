// The collection in numbers: what is in it, what it takes, how well its index finds.

import { useLoaded } from "../loading";
import { type Collection, type EmbeddingStats, type Facets, type Stats, facets, stats } from "../service";
import { bytes, number } from "../wording";
import { type Bar, Bars, Shares } from "./charts";

export function Statistics({ collection }: { collection: Collection }) {
  const { name } = collection;
  const loaded = useLoaded(name, async (signal) =>
    Promise.all([stats(name), facets(name, "", signal)]),
  );
  return (
    <section class="statistics" aria-labelledby="statistics-title">
      <header class="view-head">
        <div>
          <h1 id="statistics-title" tabIndex={-1}>
            {name}
          </h1>
          <p>
            Recipe <strong>{collection.recipe}</strong>
            {loaded && <> · {loaded[0].path}</>}
          </p>
        </div>
      </header>
      {loaded ? <Cards stats={loaded[0]} facets={loaded[1]} /> : <p>Counting …</p>}
    </section>
  );
}

function Cards({ stats, facets }: { stats: Stats; facets: Facets }) {
  return (
    <>
      <dl class="figures">
        <Figure name="pictures" value={number(stats.pictures)} />
        <Figure name="labels" value={number(stats.labels)} />
        <Figure name="originals" value={bytes(stats.original_bytes)} />
        <Figure name="failed" value={number(stats.failed)} />
      </dl>
      <div class="cards">
        <Card title="Labels" note={stats.labels > 12 ? `The 12 most frequent of ${number(stats.labels)}` : ""}>
          <Bars bars={facets.labels.slice(0, 12).map(({ value, count }) => ({ name: value, value: count }))} />
        </Card>
        <Card title="Sizes" note="Longer side in pixels">
          <Bars bars={sizes(facets)} />
        </Card>
        <Card title="Formats">
          <Bars bars={facets.formats.map(({ value, count }) => ({ name: value, value: count }))} />
        </Card>
        <Card title="What it takes on disk" note="Beside the originals">
          <Shares shares={stored(stats)} />
        </Card>
        {Object.entries(stats.embeddings).map(([embedding, each]) => (
          <Card key={embedding} title="Index" note={embedding}>
            <Index index={each} />
          </Card>
        ))}
      </div>
    </>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

interface CardProps {
  title: string;
  note?: string;
  children: preact.ComponentChildren;
}

const Card = ({ title, note, children }: CardProps) => (
  <article class="card">
    <h2>
      {title} {note && <small>{note}</small>}
    </h2>
    {children}
  </article>
);

function sizes({ sizes }: Facets): Bar[] {
  const first = sizes.findIndex(({ count }) => count > 0);
  const last = sizes.findLastIndex(({ count }) => count > 0);
  return sizes.slice(Math.max(first, 0), last + 1).map(({ least, below, count }) => ({
    name: below === null ? `${number(least)} and more` : `${least ? `${number(least)} to ` : "below "}${number(below)}`,
    value: count,
  }));
}

function stored({ catalogue_bytes, embeddings, local_features }: Stats): Bar[] {
  const indexes = Object.values(embeddings).reduce((sum, { cache_bytes }) => sum + cache_bytes, 0);
  const local = local_features?.bytes ?? 0;
  return [
    { name: "Records and vectors", value: Math.max(catalogue_bytes - local, 0) },
    { name: "Local features", value: local },
    { name: "Index files", value: indexes + (local_features?.index_bytes ?? 0) },
  ].filter(({ value }) => value > 0);
}

function Index({ index }: { index: EmbeddingStats }) {
  const { tuning } = index;
  return (
    <>
      <dl class="facts">
        <Figure name="kind" value={index.structure === index.index ? index.index : `${index.index} (${index.structure})`} />
        <Figure name="vectors" value={`${number(index.vectors)} of ${number(index.dim)} values`} />
        <Figure name="distance" value={index.distance} />
        <Figure name="in memory" value={bytes(inMemory(index))} />
      </dl>
      {tuning ? (
        <>
          <Recall recall={tuning.recall} k={tuning.k} />
          <p class="about">
            Measured {new Date(tuning.measured * 1000).toLocaleDateString("en", { dateStyle: "medium" })} with{" "}
            {number(tuning.sample)} queries; {tuning.median_ms.toFixed(1)} ms a query, 99% below{" "}
            {tuning.p99_ms.toFixed(1)} ms.
          </p>
        </>
      ) : (
        <p class="about">
          {index.structure === "flat"
            ? "It looks at every vector, so it finds all that is to be found: recall 1."
            : "Its recall has not been measured yet: lookalike tune does."}
        </p>
      )}
    </>
  );
}

/** An index that looks at every vector has them all in memory, as float32. */
const inMemory = ({ structure, vectors, dim, memory_bytes }: EmbeddingStats) =>
  structure === "flat" ? vectors * dim * 4 : memory_bytes;

const Recall = ({ recall, k }: { recall: number; k: number }) => (
  <Bars bars={[{ name: `recall at ${k}`, value: recall, text: recall.toFixed(3) }]} whole={1} />
);
