// One picture of the grid: a link to more like it, and what is known of it as a hit.

import { type Wanted, start } from "../address";
import { Icon } from "../icons";
import { type Hit, type Stored, thumbnailOf } from "../service";
import { type View, addressOf, refine } from "../session";
import { called, fileName, score } from "../wording";

const RATIOS_TO_WAIT_BY = [1.5, 0.8, 1.33, 1, 1.6, 0.75, 1.4, 1.2];

export function Tile({ picture, view }: { picture: Hit | Stored; view: View }) {
  const name = called(picture, view.alike);
  const hit = "score" in picture ? picture : undefined;
  return (
    <li class="tile" style={{ "--ratio": ratioOf(picture) }}>
      <a
        class="frame"
        href={addressOf(moreLike(view.wanted, picture.id))}
        data-id={picture.id}
        title={picture.path}
      >
        <Thumbnail address={`${picture.thumbnail}?side=384`} alt={`More like ${name}`} />
        {hit?.kinship && <span class={`badge ${hit.kinship}`}>{hit.kinship}</span>}
      </a>
      {hit && <Tools hit={hit} view={view} name={name} />}
      <span class="caption">
        <span class={name === picture.label ? "label" : "file"}>{name}</span>
        {hit && (
          <span class="score" title={`score ${hit.score}`}>
            {hit.score.toFixed(2)}
          </span>
        )}
      </span>
      {hit && <Compared scores={hit.scores ?? {}} />}
      {hit?.alike?.length ? <Alike hits={hit.alike} wanted={view.wanted} /> : null}
    </li>
  );
}

export const WaitingTiles = () => (
  <>
    {Array.from({ length: 24 }, (_, index) => (
      <li
        key={index}
        class="tile waiting"
        style={{ "--ratio": RATIOS_TO_WAIT_BY[index % RATIOS_TO_WAIT_BY.length] }}
      >
        <span class="frame" />
        <span class="caption">{"\u00a0"}</span>
      </li>
    ))}
  </>
);

/** What stays when another picture is asked with: filters and how is looked. */
function moreLike({ name, where, labels, formats, compare, fused, collapse }: Wanted, like: string) {
  return { ...start(name), like, where, labels, formats, compare, fused, collapse };
}

function Tools({ hit, view, name }: { hit: Hit; view: View; name: string }) {
  const { wanted } = view;
  const oneQuery = wanted.like ?? wanted.files?.length === 1;
  return (
    <span class="tools">
      {oneQuery && (
        <button
          type="button"
          title="Side by side"
          aria-label={`Side by side with ${name}`}
          onClick={() => refine({ beside: hit.id })}
        >
          <Icon name="compare" />
        </button>
      )}
      <button
        type="button"
        title="Not like this"
        aria-label={`Not like ${name}`}
        onClick={() => refine({ unlike: [...new Set([...wanted.unlike, hit.id])] })}
      >
        <Icon name="unlike" />
      </button>
    </span>
  );
}

function Compared({ scores }: { scores: Record<string, number | null> }) {
  const each = Object.entries(scores);
  if (!each.length) return null;
  return (
    <dl class="compared">
      {each.map(([comparator, value]) => (
        <div key={comparator}>
          <dt>{comparator}</dt>
          <dd>{score(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

const Alike = ({ hits, wanted }: { hits: NonNullable<Hit["alike"]>; wanted: Wanted }) => (
  <details class="alike">
    <summary>{hits.length} nearly identical</summary>
    <ul>
      {hits.map(({ id, path }) => (
        <li key={id}>
          <a href={addressOf(moreLike(wanted, id))} title={path}>
            <img
              src={`${thumbnailOf(wanted.name, id)}?side=128`}
              alt={`More like ${fileName(path)}`}
              loading="lazy"
            />
          </a>
        </li>
      ))}
    </ul>
  </details>
);

const Thumbnail = ({ address, alt }: { address: string; alt: string }) => (
  <img
    src={address}
    alt={alt}
    loading="lazy"
    decoding="async"
    draggable={false}
    ref={readyAtOnce}
    onLoad={({ currentTarget }) => currentTarget.classList.add("ready")}
    onError={({ currentTarget }) => currentTarget.parentElement?.classList.add("gone")}
  />
);

function readyAtOnce(image: HTMLImageElement | null): void {
  if (image?.complete) image.classList.add("ready");
}

function ratioOf({ width, height }: Hit | Stored): string {
  const ratio = height ? width / height : 1;
  return Math.min(Math.max(ratio, 0.6), 2.2).toFixed(3);
}
