// What the page asks the service. Every refusal is thrown as a Problem, in the service's own words.

export const PAGE = 24;

export class Problem extends Error {
  constructor({ type = "about:blank", detail = "", status = 0 }) {
    super(detail);
    this.kind = type.split(":").pop();
    this.status = status;
  }
}

export const collections = () => ask("/v1/collections").then((answer) => answer.collections);

export const stats = (name) => ask(`${at(name)}/stats`);

export const picture = (name, id) => ask(`${at(name)}/pictures/${encodeURIComponent(id)}`);

export const someOf = (name, signal) =>
  ask(`${at(name)}/pictures?spread=true&limit=${PAGE}`, { signal });

/** The next hits of a query: a stored picture's id, words or files, with a filter perhaps. */
export function search(name, { like, text, files = [], where }, offset, signal) {
  const fields = { k: PAGE, offset, ...(where && { where }), ...(text && { text }) };
  if (like) {
    const id = encodeURIComponent(like);
    return ask(`${at(name)}/pictures/${id}/similar?${new URLSearchParams(fields)}`, { signal });
  }
  const body = new FormData();
  for (const [field, value] of Object.entries(fields)) body.set(field, value);
  for (const file of files) body.append("image", file);
  return ask(`${at(name)}/search`, { method: "POST", body, signal });
}

const at = (name) => `/v1/collections/${encodeURIComponent(name)}`;

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service does not answer. Is it still running?" });
  }
  const answer = await response.json().catch(() => ({ status: response.status }));
  if (!response.ok) throw new Problem(answer);
  return answer;
}
