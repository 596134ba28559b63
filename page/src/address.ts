// The address says what is shown, so that Back works and a view can be shared.

export const VIEWS = ["search", "map", "statistics", "add", "duplicates"] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What is to be shown. Files live as long as the page does, all else is in the address. */
export interface Wanted {
  view: ViewName;
  name: string;
  like?: string;
  text?: string;
  files?: File[];
  where?: string;
  labels: string[];
  formats: string[];
  /** Comparators in order, instead of those that the recipe names. */
  compare?: string[];
  fused?: boolean;
  collapse?: boolean;
  crop?: Box;
  /** Ids of stored pictures that the hits are not to be like. */
  unlike: string[];
  /** The id of the stored picture that the query is shown beside. */
  beside?: string;
}

/** One collection's start. */
export const start = (name: string): Wanted => ({
  view: "search",
  name,
  labels: [],
  formats: [],
  unlike: [],
});

export const isQuery = ({ like, text, files }: Wanted) => Boolean(like ?? text ?? files);

export function read(hash: string, firstName: string): Wanted {
  const fields = new URLSearchParams(hash.slice(1));
  const wanted = start(fields.get("in") ?? firstName);
  wanted.view = VIEWS.find((each) => each === fields.get("view")) ?? "search";
  if (fields.get("like")) wanted.like = fields.get("like") ?? "";
  else if (fields.get("text")) wanted.text = fields.get("text") ?? "";
  return isQuery(wanted) ? { ...wanted, ...refinements(fields) } : wanted;
}

export function write(wanted: Wanted, firstName: string): string {
  const fields = new URLSearchParams();
  if (wanted.view !== "search") fields.set("view", wanted.view);
  else if (isQuery(wanted)) writeQuery(wanted, fields);
  if (wanted.name !== firstName) fields.set("in", wanted.name);
  return `#${fields}`;
}

function refinements(fields: URLSearchParams): Partial<Wanted> {
  const crop = (fields.get("crop") ?? "").split(",").map(Number);
  const [x = 0, y = 0, width = 0, height = 0] = crop;
  return {
    where: fields.get("where") ?? undefined,
    labels: fields.getAll("label"),
    formats: fields.getAll("format"),
    compare: fields.has("compare") ? split(fields.get("compare")) : undefined,
    fused: fields.get("order") === "fused",
    collapse: fields.has("collapse"),
    crop: width > 0 && height > 0 ? { x, y, width, height } : undefined,
    unlike: split(fields.get("unlike")),
    beside: fields.get("beside") ?? undefined,
  };
}

function writeQuery(wanted: Wanted, fields: URLSearchParams): void {
  const { like, text, where, compare, crop, unlike, beside } = wanted;
  if (like) fields.set("like", like);
  if (text) fields.set("text", text);
  if (!like && !text) return; // files cannot be written down
  if (where) fields.set("where", where);
  for (const label of wanted.labels) fields.append("label", label);
  for (const format of wanted.formats) fields.append("format", format);
  if (compare) fields.set("compare", compare.join(","));
  if (wanted.fused) fields.set("order", "fused");
  if (wanted.collapse) fields.set("collapse", "1");
  if (crop) fields.set("crop", inWords(crop));
  if (unlike.length) fields.set("unlike", unlike.join(","));
  if (beside) fields.set("beside", beside);
}

/** A box as the service reads it: x,y,width,height. */
export const inWords = ({ x, y, width, height }: Box) => [x, y, width, height].join(",");

const split = (text: string | null) => (text ?? "").split(",").filter(Boolean);
