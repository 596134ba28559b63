// The head of the page: its name, the collection, and the ways to its views.

import { type ViewName, type Wanted, start } from "./address";
import { Icon } from "./icons";
import type { Collection } from "./service";
import { addressOf, navigate } from "./session";
import { counted } from "./wording";

const WAYS = [
  { view: "search", text: "Search", icon: "search" },
  { view: "map", text: "Map", icon: "map" },
  { view: "duplicates", text: "Duplicates", icon: "duplicates" },
  { view: "statistics", text: "Statistics", icon: "chart" },
  { view: "add", text: "Add", icon: "add" },
] as const;

export function Head({ every, wanted }: { every: Collection[]; wanted?: Wanted }) {
  const collection = every.find(({ name }) => name === wanted?.name) ?? every[0];
  return (
    <header class="top">
      <a class="wordmark" id="home" href={collection ? addressOf(start(collection.name)) : "#"}>
        <img src="favicon.svg" alt="" width="28" height="28" />
        lookalike
      </a>
      {collection && <Ways name={collection.name} shown={wanted?.view} />}
      {collection && <Choice every={every} shown={collection} />}
    </header>
  );
}

function Ways({ name, shown }: { name: string; shown?: ViewName }) {
  return (
    <nav class="ways" aria-label="Views">
      {WAYS.map(({ view, text, icon }) => (
        <a
          key={view}
          href={addressOf({ ...start(name), view })}
          aria-current={view === shown ? "page" : undefined}
        >
          <Icon name={icon} />
          <span>{text}</span>
        </a>
      ))}
    </nav>
  );
}

const Choice = ({ every, shown }: { every: Collection[]; shown: Collection }) => (
  <p class="collection">
    {every.length > 1 ? (
      <select
        id="collections"
        aria-label="Collection"
        value={shown.name}
        onChange={({ currentTarget }) => void navigate(start(currentTarget.value))}
      >
        {every.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    ) : (
      <span class="collection-name">{shown.name}</span>
    )}
    <span class="count">{counted(shown.pictures)}</span>
  </p>
);
