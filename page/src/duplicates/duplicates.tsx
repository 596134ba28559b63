// Pictures that are in the collection more than once, to look through. Nothing is changed here.

import { start } from "../address";
import { useLoaded } from "../loading";
import { type Collection, type DuplicateGroup, duplicates, thumbnailOf } from "../service";
import { addressOf } from "../session";
import { bytes, counted, fileName } from "../wording";

export function Duplicates({ collection: { name } }: { collection: Collection }) {
  const loaded = useLoaded(name, (signal) => duplicates(name, signal));
  return (
    <section class="duplicates" aria-labelledby="duplicates-title">
      <header class="view-head">
        <div>
          <h1 id="duplicates-title" tabIndex={-1}>
            Duplicates
          </h1>
          <p role="status">
            {loaded ? `${counted(loaded.groups.length, "group")} of the same picture.` : "Looking …"}
          </p>
        </div>
      </header>
      {loaded?.groups.map((group, index) => (
        <Group key={index} group={group} name={name} />
      ))}
    </section>
  );
}

const Group = ({ group, name }: { group: DuplicateGroup; name: string }) => (
  <article class="card">
    <h2>
      <span class={`badge ${group.kind}`}>{group.kind}</span> {counted(group.pictures.length)}
    </h2>
    <ul class="grid">
      {group.pictures.map(({ id, path, width, height, size, keep }) => (
        <li key={id + path} class="tile" style={{ "--ratio": height ? width / height : 1 }}>
          <a class="frame" href={addressOf({ ...start(name), like: id })} title={path}>
            <img class="ready" src={`${thumbnailOf(name, id)}?side=384`} alt={fileName(path)} loading="lazy" />
          </a>
          <span class="caption">
            <span class="file">{fileName(path)}</span>
            {keep && <span class="score">keep</span>}
          </span>
          <span class="about">
            {width} × {height}
            {size ? ` · ${bytes(size)}` : ""}
          </span>
        </li>
      ))}
    </ul>
  </article>
);
