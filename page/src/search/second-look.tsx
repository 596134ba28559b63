// The recipe, and what looks again at its best hits: which comparators, in which order.

import type { Wanted } from "../address";
import { Icon } from "../icons";
import type { Collection } from "../service";
import { refine } from "../session";

export function SecondLook({ wanted, collection }: { wanted: Wanted; collection: Collection }) {
  const ofRecipe = collection.looks_again ?? [];
  const chosen = wanted.compare ?? ofRecipe;
  const others = (collection.comparators ?? []).filter((each) => !chosen.includes(each));
  const choose = (names: string[]) =>
    refine({ compare: names.join() === ofRecipe.join() ? undefined : names });
  return (
    <>
      <fieldset class="facet second-look">
        <legend>Look again by</legend>
        <p class="recipe">
          Recipe <strong>{collection.recipe}</strong>
        </p>
        <ul>
          {[...chosen, ...others].map((name) => (
            <li key={name}>
              <label>
                <input
                  type="checkbox"
                  checked={chosen.includes(name)}
                  onChange={({ currentTarget: { checked } }) =>
                    choose(checked ? [...chosen, name] : chosen.filter((each) => each !== name))
                  }
                />
                <span class="facet-value">{name}</span>
              </label>
              <Place name={name} chosen={chosen} choose={choose} />
            </li>
          ))}
        </ul>
        {chosen.length > 1 && (
          <label class="order">
            Ordered by
            <select
              value={wanted.fused ? "fused" : "last"}
              onChange={({ currentTarget }) => refine({ fused: currentTarget.value === "fused" })}
            >
              <option value="last">the last of them</option>
              <option value="fused">all together</option>
            </select>
          </label>
        )}
      </fieldset>
      <label class="switch">
        <input
          type="checkbox"
          role="switch"
          checked={wanted.collapse ?? false}
          onChange={({ currentTarget }) => refine({ collapse: currentTarget.checked })}
        />
        <span>Nearly identical hits as one</span>
      </label>
    </>
  );
}

interface PlaceProps {
  name: string;
  chosen: string[];
  choose: (names: string[]) => void;
}

/** Where a comparator stands in the order, and a way to put it earlier. */
function Place({ name, chosen, choose }: PlaceProps) {
  const place = chosen.indexOf(name);
  if (place < 0 || chosen.length < 2) return null;
  const earlier = [...chosen];
  earlier.splice(place - 1, 2, name, chosen[place - 1] ?? "");
  return (
    <span class="place">
      {place > 0 && (
        <button
          type="button"
          class="plain"
          aria-label={`${name} earlier`}
          title="Earlier"
          onClick={() => choose(earlier)}
        >
          <Icon name="up" />
        </button>
      )}
      <span class="facet-count">{place + 1}</span>
    </span>
  );
}
