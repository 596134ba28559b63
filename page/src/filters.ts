// One filter out of what was typed and the facets that were chosen.

export interface Filtering {
  where?: string;
  labels: string[];
  formats: string[];
}

export function filterOf({ where, labels, formats }: Filtering): string {
  const chosen = [oneOf("label", labels), oneOf("format", formats)].filter(Boolean);
  if (!chosen.length) return where ?? "";
  return [...(where ? [`(${where})`] : []), ...chosen].join(" and ");
}

function oneOf(field: string, values: string[]): string {
  if (!values.length) return "";
  const quoted = values.map((value) => `"${value.replace(/["\\]/g, "\\$&")}"`);
  return `${field} in (${quoted.join(", ")})`;
}
