// One page: a query leads to a view, a view is an entry of the browser's history.
//
// The address says what is searched (`#like=ID` or `#text=WORDS`, `&where=FILTER&in=COLLECTION`), so
// Back works and a link can be shared; uploaded files live as long as the page does.

import { Problem, collections, picture, search, someOf, stats } from "./service.js";
import * as show from "./show.js";

const { part } = show;
const BACKGROUND_MS = 150;

const views = new Map(); // by the key of a history entry, so that Back is instant
let every = [];
let current; // the view that is shown
let under; // what may still be called off

start();

async function start() {
  history.scrollRestoration = "manual";
  listen();
  show.waiting();
  try {
    every = await collections();
    if (every.length === 0) throw new Problem({ detail: "No collection is served here." });
    await arrive();
  } catch (problem) {
    fail(problem);
  }
}

/** Show what the address says: on arrival, after Back, after an edit of the address. */
async function arrive() {
  under?.abort();
  current && (current.scroll = scrollY);
  let view = views.get(history.state?.key);
  if (!view) {
    show.waiting();
    const asked = wantedByAddress();
    try {
      view = await load(asked);
    } catch (problem) {
      if (problem.name === "AbortError") return; // the reader went on meanwhile
      if ((asked.like || asked.text) && problem.kind === "bad-filter") {
        return failFilter(await load({ ...asked, where: "" }), asked.where, problem);
      }
      view = await load({ name: known(asked.name) });
      fail(problem);
    }
    remember(view, "replaceState", location.hash || "#");
  }
  render(view);
  scrollTo(0, view.scroll ?? 0);
}

/** Search, and only if that succeeds make it the view that is shown. */
async function navigate(wanted, from) {
  const scroll = scrollY; // before what waits takes the place of what is there
  show.banner("");
  show.busy();
  const slow = setTimeout(show.waiting, BACKGROUND_MS);
  try {
    const view = await load(wanted);
    if (current) current.scroll = scroll;
    remember(view, "pushState", addressOf(wanted));
    current = view; // from now on, though it is drawn only with the next frame
    await changed(() => {
      if (view !== current) return; // Back was quicker
      render(view);
      scrollTo(0, 0);
    }, from);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    clearTimeout(slow);
    if (current) render(current);
    scrollTo(0, scroll);
    if (problem.kind === "bad-filter") failFilter(current, wanted.where, problem);
    else fail(problem);
  } finally {
    clearTimeout(slow);
  }
}

/** Everything that a view shows, from the service. */
async function load(wanted) {
  under?.abort();
  under = new AbortController();
  const { signal } = under;
  if (!wanted.like && !wanted.files && !wanted.text) {
    const { pictures, total } = await someOf(wanted.name, signal);
    every.find(({ name }) => name === wanted.name).pictures = total;
    const { path } = total ? {} : await stats(wanted.name);
    return { wanted, pictures, path, alike: show.shareALabel(pictures), ended: true };
  }
  tooLarge(wanted);
  const [asked, { hits, took_ms }] = await Promise.all([
    wanted.like ? storedQuery(wanted) : wanted.text ? wordsQuery(wanted) : uploadedQuery(wanted),
    search(wanted.name, wanted, 0, signal),
  ]);
  const alike = show.shareALabel(hits);
  if (asked.stored) asked.title = show.called(asked.stored, alike);
  return { wanted, asked, pictures: hits, alike, took: took_ms, ended: hits.length === 0 };
}

async function loadMore() {
  const view = current;
  show.busy();
  try {
    const { hits } = await search(view.wanted.name, view.wanted, view.pictures.length);
    view.pictures.push(...hits);
    view.ended = hits.length === 0;
    if (view !== current) return;
    show.furtherResults(statusOf(view), hits, linkFrom(view), view.alike);
    part("more").hidden = view.ended;
  } catch (problem) {
    fail(problem);
  }
}

function render(view) {
  current = view;
  const { wanted, asked, pictures } = view;
  show.collection(every.find(({ name }) => name === wanted.name), every);
  show.query(asked, wanted.where);
  show.somethingIsThere();
  const title = asked ? "Most alike" : "Start from one of these";
  show.results(pictures.length ? title : "", statusOf(view), pictures, linkFrom(view), view.alike);
  part("more").hidden = view.ended;
  part("home").href = part("close").href = addressOf({ name: wanted.name });
  if (pictures.length) return;
  if (!asked) {
    const command = `lookalike index ~/Pictures -c ${view.path}`;
    show.nothing("Nothing is in here yet", "Index a folder of pictures, then come back:", command);
  } else if (wanted.where) {
    show.nothing("No picture passes this filter", "Change it, or clear it to see all.");
  } else {
    show.nothing("Nothing else is in this collection", "Index more pictures to find look-alikes.");
  }
}

function listen() {
  addEventListener("popstate", () => arrive().catch(fail));
  document.addEventListener("click", followed);
  document.addEventListener("keydown", escaped);
  part("file").addEventListener("change", ({ target }) => {
    askWith([...target.files]);
    target.value = "";
  });
  part("collections").addEventListener("change", ({ target }) => navigate({ name: target.value }));
  part("more").addEventListener("click", loadMore);
  part("banner-close").addEventListener("click", () => show.banner(""));
  part("filter").addEventListener("submit", (event) => {
    event.preventDefault();
    filterBy(part("where").value.trim());
  });
  part("words").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = part("text").value.trim();
    if (text && every.length) navigate({ name: current?.wanted.name ?? every[0].name, text });
  });
  part("where").addEventListener("input", ({ target }) => {
    show.filterProblem("");
    if (!target.value && current?.wanted.where) filterBy("");
  });
  addEventListener("paste", ({ clipboardData }) => askWith([...clipboardData.files]));
  listenToDrops();
}

function listenToDrops() {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // each element entered on the way down is left on the way up
  const cover = (change) => {
    depth = Math.max(0, depth + change);
    part("drop").hidden = depth === 0;
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && cover(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && cover(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    cover(-depth);
    askWith([...event.dataTransfer.files]);
  });
}

function askWith(files) {
  if (files.length && every.length) navigate({ name: current?.wanted.name ?? every[0].name, files });
}

function filterBy(where) {
  if (where !== (current.wanted.where ?? "")) navigate({ ...current.wanted, where });
  else render(current); // after a mistake
}

/** Links of ours change the view in place; with a modifier the browser opens them as ever. */
function followed(event) {
  if (event.target.closest("[data-choose]")) return part("file").click();
  const link = event.target.closest("a[href^='#']");
  const plain = !event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !plain || !every.length) return;
  event.preventDefault();
  navigate(wantedByAddress(link.getAttribute("href")), link.querySelector("img"));
}

function escaped(event) {
  if (event.key !== "Escape" || event.defaultPrevented || !current?.asked) return;
  if (event.target === part("where") && part("where").value) return; // the field clears itself
  if (history.state?.depth) history.back();
  else part("close").click();
}

function fail(problem) {
  if (problem.name === "AbortError") return;
  if (!(problem instanceof Problem)) console.error(problem);
  show.settled();
  show.banner(problem.message || "Something went wrong.");
}

function failFilter(view, where, problem) {
  if (view !== current) render(view);
  show.somethingIsThere(); // that nothing passes was said of another filter
  part("where").value = where;
  show.filterProblem(problem.message);
  part("where").focus();
}

function wantedByAddress(hash = location.hash) {
  const fields = new URLSearchParams(hash.slice(1));
  const wanted = { name: fields.get("in") ?? every[0].name };
  if (fields.get("like")) wanted.like = fields.get("like");
  else if (fields.get("text")) wanted.text = fields.get("text");
  if ((wanted.like || wanted.text) && fields.get("where")) wanted.where = fields.get("where");
  return wanted;
}

function addressOf({ name, like, text, where }) {
  const fields = new URLSearchParams();
  if (like) fields.set("like", like);
  if (text) fields.set("text", text);
  if ((like || text) && where) fields.set("where", where);
  if (name !== every[0].name) fields.set("in", name);
  return `#${fields}`;
}

const linkFrom = ({ wanted: { name, where } }) => (like) => addressOf({ name, like, where });

const known = (name) => (every.find((each) => each.name === name) ?? every[0]).name;

function remember(view, change, address) {
  const key = crypto.randomUUID();
  const depth = (history.state?.depth ?? 0) + (change === "pushState" ? 1 : 0);
  views.set(key, view);
  history[change]({ key, depth }, "", address);
}

function statusOf({ asked, pictures, took }) {
  if (!asked) return "";
  return pictures.length ? `best ${show.counted(pictures.length)} · ${Math.round(took)} ms` : "";
}

async function storedQuery({ name, like }) {
  const stored = await picture(name, like);
  const size = stored.width ? `${stored.width} × ${stored.height} · ` : "";
  const place = stored.path.split("/").slice(-2).join("/");
  const about = `${size}${stored.format} · ${place}`;
  return { stored, about, pictures: [`${stored.thumbnail}?side=384`] };
}

const wordsQuery = ({ text }) => ({ title: text, about: "In words", pictures: [] });

function uploadedQuery({ files }) {
  const title = files.length === 1 ? files[0].name || "Your picture" : `${files.length} pictures as one`;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const about = `Yours · ${size < 1e6 ? `${Math.ceil(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`}`;
  return { title, about, pictures: files.map((file) => URL.createObjectURL(file)) };
}

function tooLarge({ name, files = [] }) {
  const limit = every.find((each) => each.name === name)?.upload_bytes;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size <= limit) return;
  throw new Problem({ detail: `That is ${(size / 1e6).toFixed(1)} MB; the most is ${limit / 1e6} MB.` });
}

/** Change what is seen, softly where that is wanted: the picture followed becomes the query. */
function changed(render, from) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!document.startViewTransition || still) return render();
  const becomes = part("query-pictures").style;
  if (from) from.style.viewTransitionName = "query";
  const transition = document.startViewTransition(() => {
    render();
    if (from) [from.style.viewTransitionName, becomes.viewTransitionName] = ["", "query"];
  });
  transition.ready.catch(() => {}); // a second change calls off the first
  transition.finished.finally(() => (becomes.viewTransitionName = ""));
  return transition.updateCallbackDone;
}
