// Pictures that are in the collection more than once, to look through. Nothing is changed here.

import { useEffect, useState } from "preact/hooks";

import { start } from "../address";
import {
  type Collection,
  type Duplicate,
  type DuplicateGroup,
  type Duplicates as Found,
  duplicates,
  thumbnailOf,
} from "../service";
import { addressOf, fail } from "../session";
import { ago, bytes, counted, fileName } from "../wording";

const KINDS = { exact: "the same", copy: "copy", near: "near" };

export function Duplicates({ collection: { name } }: { collection: Collection }) {
  const { found, isLooking } = useDuplicates(name);
  return (
    <section class="duplicates" aria-labelledby="duplicates-title">
      <header class="view-head">
        <div>
          <h1 id="duplicates-title" tabIndex={-1}>
            Duplicates
          </h1>
          <p role="status">
            {found
              ? `${counted(found.total, "group")}; ${bytes(found.bytes)} could be spared.`
              : isLooking && "Looking …"}
          </p>
          {found && !found.current && (
            <p class="age" role="status">
              Found {ago(found.age)}, before the collection changed.{" "}
              {isLooking && <span class="anew">Looking anew …</span>}
            </p>
          )}
        </div>
      </header>
      {found?.groups.map((group) => (
        <Group key={group.keep.path} group={group} name={name} />
      ))}
      {found && found.total > found.groups.length && (
        <p>These {found.groups.length} take most space.</p>
      )}
    </section>
  );
}

/** Those found last at once, then those of the collection as it is. */
function useDuplicates(name: string) {
  const [state, setState] = useState<{ found?: Found; isLooking: boolean }>({ isLooking: true });
  useEffect(() => {
    const under = new AbortController();
    const follow = async () => {
      for await (const found of duplicates(name, under.signal))
        setState({ found, isLooking: !found.current });
    };
    follow().catch((problem: unknown) => {
      if (under.signal.aborted) return;
      setState(({ found }) => ({ found, isLooking: false }));
      fail(problem);
    });
    return () => under.abort();
  }, [name]);
  return state;
}

const Group = ({ group, name }: { group: DuplicateGroup; name: string }) => (
  <article class="card">
    <h2>
      <span class={`badge ${group.kind}`}>{KINDS[group.kind]}</span>
      {counted(group.others.length + 1)} <small>keep: {group.keep.why}</small>
    </h2>
    <ul class="grid">
      <Member picture={group.keep} name={name} isKept />
      {group.others.map((picture) => (
        <Member key={picture.path} picture={picture} name={name} beside={group.keep.id} />
      ))}
    </ul>
  </article>
);

interface MemberProps {
  picture: Duplicate;
  name: string;
  isKept?: boolean;
  /** The picture that it is to be compared with. */
  beside?: string;
}

/** A picture of a group, which leads to both side by side where they are two. */
const Member = ({ picture, name, isKept, beside }: MemberProps) => (
  <li class="tile" style={{ "--ratio": ratioOf(picture) }}>
    <a
      class="frame"
      href={addressOf({
        ...start(name),
        like: picture.id,
        beside: beside === picture.id ? undefined : beside,
      })}
      title={picture.path}
    >
      <img
        class="ready"
        src={`${thumbnailOf(name, picture.id)}?side=384`}
        alt={fileName(picture.path)}
        loading="lazy"
      />
      {isKept && <span class="badge copy">keep</span>}
    </a>
    <span class="caption">
      <span class="file">{fileName(picture.path)}</span>
    </span>
    <span class="about">
      {picture.width} × {picture.height} · {bytes(picture.bytes)}
    </span>
  </li>
);

const ratioOf = ({ width, height }: Duplicate) =>
  Math.min(Math.max(height ? width / height : 1, 0.6), 2.2).toFixed(3);
