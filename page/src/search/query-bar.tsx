// What is asked, always in sight: the picture or the words, a filter, and what may be changed.

import { useEffect, useRef, useState } from "preact/hooks";

import type { Asked } from "../asking";
import { chooseFiles } from "../choosing";
import { Icon } from "../icons";
import { thumbnailOf } from "../service";
import {
  type Page,
  type View,
  addressOf,
  closed,
  forgetFilterProblem,
  refine,
} from "../session";
import { CropDialog } from "./crop-dialog";
import { QueryPicture } from "./query-picture";

interface Props {
  view: View;
  asked: Asked;
  problem: Page["filterProblem"];
}

export function QueryBar({ view, asked, problem }: Props) {
  const { wanted } = view;
  const [cropping, setCropping] = useState(false);
  const [first] = asked.pictures;
  const canCrop = asked.pictures.length === 1;
  return (
    <section class="query" id="query" aria-label="Your query">
      <div class="query-pictures" id="query-pictures">
        {asked.pictures.slice(0, 4).map(({ small }) => (
          <QueryPicture key={small} address={small} crop={wanted.crop} size={sizeOf(asked)} />
        ))}
      </div>
      <div class="query-words">
        <h1 id="query-title" tabIndex={-1}>
          {asked.title}
        </h1>
        <p>{wanted.crop ? `A part of it · ${asked.about}` : asked.about}</p>
      </div>
      <Unlike view={view} />
      <Filter key={view.key} where={wanted.where ?? ""} problem={problem} />
      <div class="query-buttons">
        {canCrop && (
          <button type="button" id="part" onClick={() => setCropping(true)}>
            <Icon name="crop" />
            Part
          </button>
        )}
        <button type="button" class="wide-only" onClick={chooseFiles}>
          New picture
        </button>
        <a class="close" href={addressOf(closed(wanted))} aria-label="Close this search">
          <Icon name="close" />
        </a>
      </div>
      {problem && (
        <pre class="filter-problem" id="filter-problem" role="alert">
          {problem.message}
        </pre>
      )}
      {cropping && first && (
        <CropDialog
          picture={first.large}
          size={sizeOf(asked)}
          crop={wanted.crop}
          onClose={() => setCropping(false)}
        />
      )}
    </section>
  );
}

function Unlike({ view: { wanted } }: { view: View }) {
  if (!wanted.unlike.length) return null;
  return (
    <ul class="unlike" aria-label="Not like these">
      {wanted.unlike.map((id) => (
        <li key={id}>
          <img src={`${thumbnailOf(wanted.name, id)}?side=128`} alt="" />
          <button
            type="button"
            aria-label="Allow pictures like this again"
            title="Not like this: click to allow it again"
            onClick={() => refine({ unlike: wanted.unlike.filter((each) => each !== id) })}
          >
            <Icon name="minus" />
          </button>
        </li>
      ))}
    </ul>
  );
}

function Filter({ where, problem }: { where: string; problem: Page["filterProblem"] }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (problem && field.current) field.current.value = problem.where;
  }, [problem]);
  const filterBy = (text: string) => {
    if (text === where) forgetFilterProblem();
    else refine({ where: text || undefined });
  };
  return (
    <form
      class="filter"
      role="search"
      aria-label="Among the hits"
      onSubmit={(event) => {
        event.preventDefault();
        filterBy(field.current?.value.trim() ?? "");
      }}
    >
      <label for="where">Filter</label>
      <input
        ref={field}
        id="where"
        type="search"
        placeholder="width >= 800"
        maxLength={2000}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        enterkeyhint="search"
        defaultValue={where}
        aria-invalid={problem ? "true" : undefined}
        aria-describedby={problem ? "filter-problem" : undefined}
        onInput={({ currentTarget }) => {
          if (problem) forgetFilterProblem();
          if (!currentTarget.value && where) filterBy("");
        }}
      />
    </form>
  );
}

const sizeOf = ({ stored }: Asked) => (stored?.width ? stored : undefined);
