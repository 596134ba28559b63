// What is seen: the document's elements, and nothing about where their content comes from.

import { PAGE } from "./service.js";

const NUMBERS = new Intl.NumberFormat("en");
const WAITING = [1.5, 0.8, 1.33, 1, 1.6, 0.75, 1.4, 1.2];

export const part = (id) => document.getElementById(id);

export const counted = (count) => `${NUMBERS.format(count)} ${count === 1 ? "picture" : "pictures"}`;

/** What a picture is called: its label, else (or where `alike` are all labels) its file's name. */
export const called = (picture, alike) =>
  (!alike && picture.label) || picture.path.split("/").pop();

/** Whether the label tells none of these from another, as in a folder without folders. */
export const shareALabel = (pictures) => new Set(pictures.map(({ label }) => label)).size < 2;

export function collection({ name, pictures, reads_text }, every) {
  part("words").hidden = !reads_text;
  part("count").textContent = counted(pictures);
  part("collection-name").textContent = name;
  part("collection-name").hidden = every.length > 1;
  const choice = part("collections");
  choice.hidden = every.length < 2;
  choice.replaceChildren(...every.map((each) => new Option(each.name, each.name)));
  choice.value = name;
}

/** The large invitation, or in its place the query: {title, about, pictures: addresses}. */
export function query(asked, where) {
  part("ask").hidden = Boolean(asked);
  part("query").hidden = !asked;
  part("where").value = where ?? "";
  filterProblem("");
  document.title = asked ? `${asked.title} – lookalike` : "lookalike";
  if (!asked) return;
  part("text").value = "";
  part("query-title").textContent = asked.title;
  part("query-about").textContent = asked.about;
  part("query-pictures").replaceChildren(...asked.pictures.slice(0, 4).map(queryPicture));
}

export function results(title, status, pictures, linkTo, alike) {
  part("results-title").textContent = title;
  part("results-title").parentElement.hidden = !title;
  part("status").textContent = status;
  part("grid").replaceChildren(...pictures.map((each) => tile(each, linkTo, alike)));
  settled();
}

export function furtherResults(status, pictures, linkTo, alike) {
  part("status").textContent = status;
  const tiles = pictures.map((each) => tile(each, linkTo, alike));
  part("grid").append(...tiles);
  tiles[0]?.querySelector("a").focus({ preventScroll: true });
  settled();
}

/** Tiles to wait by, in place of what is there. */
export function waiting() {
  part("empty").hidden = part("more").hidden = true;
  part("grid").setAttribute("aria-busy", "true");
  const tiles = Array.from({ length: PAGE }, (_, number) => {
    const item = made("li", "tile waiting");
    item.style.setProperty("--ratio", WAITING[number % WAITING.length]);
    item.append(made("span", "frame"), made("span", "caption", "\u00a0"));
    return item;
  });
  part("grid").replaceChildren(...tiles);
}

/** What is there stays, but is about to change. */
export const busy = () => part("grid").setAttribute("aria-busy", "true");

export function settled() {
  part("grid").removeAttribute("aria-busy");
}

export function nothing(title, text, command) {
  const empty = part("empty");
  empty.hidden = false;
  empty.replaceChildren(made("h2", "", title), made("p", "", text));
  if (command) empty.append(made("code", "", command));
}

export const somethingIsThere = () => (part("empty").hidden = true);

export function banner(text) {
  part("banner").hidden = !text;
  part("banner-text").textContent = text.charAt(0).toUpperCase() + text.slice(1);
}

export function filterProblem(text) {
  part("filter-problem").hidden = !text;
  part("filter-problem").textContent = text;
  part("where").setAttribute("aria-invalid", String(Boolean(text)));
}

function tile(picture, linkTo, alike) {
  const item = made("li", "tile");
  const ratio = picture.height ? picture.width / picture.height : 1;
  item.style.setProperty("--ratio", Math.min(Math.max(ratio, 0.6), 2.2).toFixed(3));
  const link = made("a", "frame");
  link.href = linkTo(picture.id);
  link.dataset.id = picture.id;
  link.title = picture.path;
  const name = called(picture, alike);
  link.append(thumbnail(picture, name));
  const caption = made("span", "caption");
  caption.append(made("span", name === picture.label ? "label" : "file", name));
  if (picture.score !== undefined) {
    const score = made("span", "score", picture.score.toFixed(2));
    score.title = `score ${picture.score}`;
    caption.append(score);
  }
  item.append(link, caption);
  return item;
}

function thumbnail(picture, name) {
  const image = made("img");
  image.alt = `More like ${name}`;
  image.loading = "lazy";
  image.decoding = "async";
  image.draggable = false;
  image.addEventListener("load", () => image.classList.add("ready"));
  image.addEventListener("error", () => image.parentElement?.classList.add("gone"));
  image.src = `${picture.thumbnail}?side=384`;
  if (image.complete) image.classList.add("ready");
  return image;
}

function queryPicture(address) {
  const image = made("img");
  image.alt = "";
  // Some formats are read by the service and not by the browser.
  image.addEventListener("error", () => image.replaceWith(made("span", "unseen", "no preview")));
  image.src = address;
  return image;
}

function made(name, classes = "", text) {
  const element = document.createElement(name);
  if (classes) element.className = classes;
  if (text !== undefined) element.textContent = text;
  return element;
}
