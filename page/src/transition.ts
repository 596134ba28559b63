// A change of what is seen, softly where that is wanted.

const QUERY = "query";

export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Change what is seen; the picture that was followed, `from`, becomes the query. */
export function softly(change: () => void, from?: HTMLElement | null): Promise<void> {
  if (!("startViewTransition" in document) || isStill()) {
    change();
    return Promise.resolve();
  }
  if (from) from.style.viewTransitionName = QUERY;
  const transition = document.startViewTransition(() => {
    change();
    if (from) from.style.viewTransitionName = "";
    if (from) becomes()?.style.setProperty("view-transition-name", QUERY);
  });
  transition.ready.catch(() => undefined); // a second change calls off the first
  void transition.finished.finally(() => becomes()?.style.removeProperty("view-transition-name"));
  return transition.updateCallbackDone;
}

const becomes = () => document.getElementById("query-pictures");
