// The browser's own dialogs for files and the camera, opened by buttons anywhere on the page.

import { askWith } from "./session";

export const chooseFiles = () => document.getElementById("file")?.click();
export const takePhotograph = () => document.getElementById("camera")?.click();

const take = ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
  askWith([...(currentTarget.files ?? [])]);
  currentTarget.value = "";
};

export const FileInputs = () => (
  <>
    <input type="file" id="file" accept="image/*,.heic,.heif,.avif" multiple hidden onChange={take} />
    <input type="file" id="camera" accept="image/*" capture="environment" hidden onChange={take} />
  </>
);
