// How the hits are narrowed and looked at again: facets, comparators, collapsing.

import { useState } from "preact/hooks";

import type { Wanted } from "../address";
import { filterOf } from "../filters";
import { Icon } from "../icons";
import { useLoaded } from "../loading";
import { type Collection, type Facets, facets } from "../service";
import { refine } from "../session";
import { Facet } from "./facet";
import { SecondLook } from "./second-look";

export function Refine({ wanted, collection }: { wanted: Wanted; collection: Collection }) {
  const [open, setOpen] = useState(false);
  const { labels, formats } = useFacets(wanted);
  const chosen = wanted.labels.length + wanted.formats.length;
  return (
    <aside class="refine" aria-label="Refine">
      <button
        type="button"
        class="refine-toggle"
        aria-expanded={open}
        aria-controls="refinements"
        onClick={() => setOpen(!open)}
      >
        <Icon name="sliders" />
        Refine{chosen ? ` (${chosen})` : ""}
      </button>
      <div id="refinements" class={open ? "open" : ""}>
        <Facet
          title="Labels"
          values={labels}
          chosen={wanted.labels}
          onChoose={(labels) => refine({ labels })}
        />
        <Facet
          title="Formats"
          values={formats}
          chosen={wanted.formats}
          onChoose={(formats) => refine({ formats })}
        />
        <SecondLook wanted={wanted} collection={collection} />
      </div>
    </aside>
  );
}

/** What is there to choose: of each facet, under all that is chosen but itself. */
function useFacets(wanted: Wanted): Pick<Facets, "labels" | "formats"> {
  const { name } = wanted;
  const forLabels = filterOf({ ...wanted, labels: [] });
  const forFormats = filterOf({ ...wanted, formats: [] });
  const loaded = useLoaded(`${name} ${forLabels} ${forFormats}`, async (signal) => {
    const first = await facets(name, forLabels, signal);
    if (forLabels === forFormats) return first;
    return { ...first, formats: (await facets(name, forFormats, signal)).formats };
  });
  return loaded ?? { labels: [], formats: [] };
}
