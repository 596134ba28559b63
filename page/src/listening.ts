// What happens anywhere on the page: links of ours, Escape, pasted and dropped files.

import { type Picked, picked } from "./add/picking";
import { adding } from "./add/uploading";
import { chooseFiles } from "./choosing";
import { askWith, here, leave, navigate, page, wantedBy } from "./session";
import { start } from "./address";
import { setCovered } from "./drop-cover";

export function listen(): void {
  document.addEventListener("click", follow);
  document.addEventListener("keydown", escape);
  addEventListener("paste", ({ clipboardData }) => askWith([...(clipboardData?.files ?? [])]));
  listenToDrops();
}

/** Links of ours change the view in place; with a modifier the browser opens them as ever. */
function follow(event: MouseEvent): void {
  if (!(event.target instanceof Element)) return;
  if (event.target.closest("[data-choose]")) return chooseFiles();
  const link = event.target.closest<HTMLAnchorElement>("a[href^='#']");
  const plain = !event.button && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !plain) return;
  event.preventDefault();
  if ("skip" in link.dataset) return document.getElementById("main")?.focus();
  if (!page.every.length) return;
  const becomesQuery = link.classList.contains("frame") ? link.querySelector("img") : null;
  void navigate(wantedBy(link.getAttribute("href") ?? ""), becomesQuery);
}

function escape(event: KeyboardEvent): void {
  if (event.key !== "Escape" || event.defaultPrevented || !page.view?.asked) return;
  if (document.querySelector("dialog[open]")) return; // it closes itself
  if (event.target instanceof HTMLInputElement && event.target.type === "search" && event.target.value)
    return; // the field clears itself
  leave();
}

function listenToDrops(): void {
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // each element entered on the way down is left on the way up
  const cover = (change: number) => {
    depth = Math.max(0, depth + change);
    setCovered(depth > 0);
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && cover(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && cover(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    cover(-depth);
    void picked(event.dataTransfer).then(dropped);
  });
}

/** Files are asked with; a folder, and whatever is dropped where pictures are added, is added. */
function dropped(files: Picked[]): void {
  const isAdding = page.view?.wanted.view === "add";
  if (!isAdding && !files.some(({ folder }) => folder)) {
    askWith(files.map(({ file }) => file));
    return;
  }
  adding(here()).offer(files);
  if (!isAdding) void navigate({ ...start(here()), view: "add" });
}

