// Adding pictures: a folder or files are dropped or chosen, looked at, and sent with progress.

import { useEffect, useState } from "preact/hooks";

import { start } from "../address";
import { Icon } from "../icons";
import type { Collection } from "../service";
import { addressOf } from "../session";
import { bytes, counted } from "../wording";
import { pickedBy } from "./picking";
import { ProgressReport } from "./progress";
import { type Uploading, adding } from "./uploading";

export function AddPictures({ collection: { name } }: { collection: Collection }) {
  const uploading = adding(name);
  const progress = useProgress(uploading);
  return (
    <section class="add" aria-labelledby="add-title">
      <header class="view-head">
        <div>
          <h1 id="add-title" tabIndex={-1}>
            Add pictures
          </h1>
          <p>They are kept in {name} and can be found at once.</p>
        </div>
      </header>
      <Choose uploading={uploading} />
      {progress.offered.length > 0 && !progress.isRunning && <Offer uploading={uploading} />}
      {progress.total > 0 && (
        <ProgressReport progress={progress} onStop={() => uploading.stop()}>
          <a class="button" href={addressOf(start(name))}>
            See the collection
          </a>
        </ProgressReport>
      )}
    </section>
  );
}

const Choose = ({ uploading }: { uploading: Uploading }) => (
  <div class="ask choose">
    <Icon name="folder" />
    <p>Drop a folder or pictures anywhere on this page, or choose them.</p>
    <div class="ask-buttons">
      <Chooser id="add-folder" text="Choose a folder" uploading={uploading} primary folder />
      <Chooser id="add-files" text="Choose pictures" uploading={uploading} />
    </div>
  </div>
);

interface ChooserProps {
  id: string;
  text: string;
  uploading: Uploading;
  primary?: boolean;
  folder?: boolean;
}

const Chooser = ({ id, text, uploading, primary, folder }: ChooserProps) => (
  <>
    <button
      type="button"
      class={primary ? "primary" : ""}
      onClick={() => document.getElementById(id)?.click()}
    >
      {text}
    </button>
    <input
      id={id}
      type="file"
      multiple
      hidden
      accept={folder ? undefined : "image/*,.heic,.heif,.avif"}
      ref={folder ? takeFolders : undefined}
      onChange={({ currentTarget }) => {
        uploading.offer(pickedBy(currentTarget.files ?? []));
        currentTarget.value = "";
      }}
    />
  </>
);

const takeFolders = (input: HTMLInputElement | null) => input?.setAttribute("webkitdirectory", "");

function Offer({ uploading }: { uploading: Uploading }) {
  const { offered } = uploading.progress;
  const folders = new Set(offered.map(({ folder }) => folder).filter(Boolean));
  const [byFolder, setByFolder] = useState(folders.size > 0);
  const [label, setLabel] = useState("");
  const size = offered.reduce((sum, { file }) => sum + file.size, 0);
  return (
    <form
      class="card offer"
      onSubmit={(event) => {
        event.preventDefault();
        void uploading.start(byFolder ? undefined : label.trim());
      }}
    >
      <h2>
        {counted(offered.length)} <small>{bytes(size)}</small>
      </h2>
      {folders.size > 0 && (
        <label class="switch">
          <input
            type="checkbox"
            role="switch"
            checked={byFolder}
            onChange={({ currentTarget }) => setByFolder(currentTarget.checked)}
          />
          <span>Label each by its folder ({listed([...folders])})</span>
        </label>
      )}
      {!byFolder && (
        <label class="field">
          Label for all of them (optional)
          <input
            type="text"
            maxLength={1000}
            value={label}
            onInput={({ currentTarget }) => setLabel(currentTarget.value)}
          />
        </label>
      )}
      <div class="offer-buttons">
        <button type="submit" class="primary">
          Add {counted(offered.length)}
        </button>
        <button type="button" onClick={() => uploading.withdraw()}>
          Not these
        </button>
      </div>
    </form>
  );
}

const listed = (names: string[]) =>
  names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");

function useProgress(uploading: Uploading) {
  const [progress, setProgress] = useState(uploading.progress);
  useEffect(() => {
    const follow = () => setProgress(uploading.progress);
    follow();
    return uploading.follow(follow);
  }, [uploading]);
  return progress;
}
