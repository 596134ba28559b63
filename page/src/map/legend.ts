// Which labels have a colour of their own on the map: the most frequent.

import type { MapPoint } from "../service";

const COLOURS = 10;

export interface Legend {
  /** `colour`: the class of its dot. */
  frequent: { label: string; colour: string }[];
  others: string[];
  /** The custom property that holds a point's colour. */
  colourOf: (point: MapPoint) => string;
}

export function legendOf(points: MapPoint[]): Legend {
  const counts = new Map<string, number>();
  for (const { label } of points) if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  const labels = [...counts].sort(([, a], [, b]) => b - a).map(([label]) => label);
  const frequent = labels.slice(0, COLOURS);
  const place = new Map(frequent.map((label, index) => [label, index]));
  return {
    frequent: frequent.map((label, index) => ({ label, colour: `hue-${index}` })),
    others: labels.slice(COLOURS).sort(),
    colourOf: ({ label }) => `--hue-${place.get(label ?? "") ?? "none"}`,
  };
}
