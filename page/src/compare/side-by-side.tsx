// The query beside one picture: where they agree, the one laid over the other, in turn.

import { useState } from "preact/hooks";

import type { Asked } from "../asking";
import { Icon } from "../icons";
import type { Evidence, Matched } from "../service";
import { type View, addressOf, closed, collection } from "../session";
import { called, counted, score } from "../wording";
import { Flicker } from "./flicker";
import { Lines } from "./lines";
import { Slider } from "./slider";

const WAYS = [
  ["lines", "Side by side"],
  ["slider", "Slider"],
  ["flicker", "Flicker"],
] as const;

interface Props {
  view: View;
  asked: Asked;
  beside: NonNullable<View["beside"]>;
}

export function SideBySide({ view, asked, beside: { other, matched } }: Props) {
  const [way, setWay] = useState<(typeof WAYS)[number][0]>("lines");
  const pair = {
    first: asked.pictures[0]?.large ?? "",
    second: `${other.thumbnail}?side=1024`,
    matched,
  };
  const names = [asked.title, called(other, asked.stored?.label === other.label)];
  return (
    <section class="beside" id="beside" aria-labelledby="beside-title">
      <header class="view-head">
        <div>
          <h1 id="beside-title" tabIndex={-1}>
            {names[0]} <span class="and">and</span> {names[1]}
          </h1>
          <p>{inWords(matched.evidence)}</p>
        </div>
        <a class="close" href={addressOf(closed(view.wanted))} aria-label="Back to the hits">
          <Icon name="close" />
        </a>
      </header>
      <div class="segments" role="radiogroup" aria-label="How to compare">
        {WAYS.map(([value, text]) => (
          <label key={value}>
            <input type="radio" name="way" checked={way === value} onChange={() => setWay(value)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
      {way === "lines" && <Lines {...pair} />}
      {way === "slider" && <Slider {...pair} />}
      {way === "flicker" && <Flicker {...pair} />}
      <Scores matched={matched} names={collection()?.comparators ?? []} />
    </section>
  );
}

function inWords(evidence: Evidence | null): string {
  if (!evidence?.inliers) return "No geometry was found that the two have in common.";
  const agree = `${counted(evidence.inliers, "place")} of ${evidence.matches} agree`;
  const mirrored = evidence.mirrored ? ", mirrored" : "";
  return evidence.region
    ? `${agree}${mirrored}; the frame shows where the query lies.`
    : `${agree}${mirrored}.`;
}

function Scores({ matched, names }: { matched: Matched; names: string[] }) {
  const there = Object.entries(matched.scores);
  const inOrder = there.sort(([a], [b]) => names.indexOf(a) - names.indexOf(b));
  return (
    <dl class="scores">
      {inOrder.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value === null ? (matched.unavailable[name] ?? "–") : score(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
