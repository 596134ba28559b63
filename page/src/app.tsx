// The whole page: head, ways round it, and the view that is shown.

import { AddPictures } from "./add/add";
import { FileInputs } from "./choosing";
import { SideBySide } from "./compare/side-by-side";
import { DropCover } from "./drop-cover";
import { Duplicates } from "./duplicates/duplicates";
import { Head } from "./head";
import { Icon } from "./icons";
import { MapView } from "./map/map";
import { Ask } from "./search/ask";
import { QueryBar } from "./search/query-bar";
import { Refine } from "./search/refine";
import { Results } from "./search/results";
import { KeyDialog } from "./key-dialog";
import { type Page, dismiss } from "./session";
import { Statistics } from "./statistics/statistics";
import { Unopened } from "./unopened";
import { sentence } from "./wording";

export function App(page: Page) {
  return (
    <>
      <a class="skip" href="#main" data-skip>
        Skip to the content
      </a>
      <Head every={page.every} wanted={page.view?.wanted} />
      <Unopened broken={page.broken} />
      <main id="main" tabIndex={-1}>
        <View {...page} />
      </main>
      <DropCover adding={page.view?.wanted.view === "add"} />
      <FileInputs />
      <KeyDialog />
    </>
  );
}

function View(page: Page) {
  const { view, every } = page;
  const wanted = view?.wanted;
  const collection = every.find(({ name }) => name === wanted?.name);
  const banner = <Banner text={page.banner} />;
  if (!view || !wanted || !collection || wanted.view === "search") {
    if (view?.beside && view.asked) {
      return (
        <>
          {banner}
          <SideBySide key={view.key} view={view} asked={view.asked} beside={view.beside} />
        </>
      );
    }
    if (!view?.asked) {
      return (
        <>
          <Ask readsText={collection?.reads_text ?? false} />
          {banner}
          <Results {...page} />
        </>
      );
    }
    return (
      <>
        <QueryBar view={view} asked={view.asked} problem={page.filterProblem} />
        {banner}
        <div class="found">
          {collection && <Refine wanted={page.pending ?? view.wanted} collection={collection} />}
          <Results {...page} />
        </div>
      </>
    );
  }
  const Shown = { map: MapView, statistics: Statistics, add: AddPictures, duplicates: Duplicates }[
    wanted.view
  ];
  return (
    <>
      {banner}
      <Shown key={view.key} collection={collection} />
    </>
  );
}

const Banner = ({ text }: { text: string }) => (
  <div class="banner" id="banner" role="alert" hidden={!text}>
    <p id="banner-text">{sentence(text)}</p>
    <button type="button" aria-label="Dismiss" onClick={dismiss}>
      <Icon name="close" />
    </button>
  </div>
);
