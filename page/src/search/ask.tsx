// The invitation: a picture, or words where the recipe reads them.

import { chooseFiles, takePhotograph } from "../choosing";
import { start } from "../address";
import { Icon } from "../icons";
import { here, navigate } from "../session";

export const Ask = ({ readsText }: { readsText: boolean }) => (
  <section class="ask" id="ask" aria-labelledby="ask-title">
    <svg class="ask-art" viewBox="0 0 96 64" aria-hidden="true">
      <rect class="art-back" x="6" y="10" width="40" height="40" rx="10" />
      <rect class="art-front" x="34" y="16" width="40" height="40" rx="10" />
      <circle class="art-sun" cx="46" cy="29" r="4" />
      <path class="art-hills" d="M36 50l11-11 8 8 6-6 11 10" />
    </svg>
    <h1 id="ask-title" tabIndex={-1}>
      What looks like this?
    </h1>
    <p>Drop a picture anywhere on this page, paste one, or choose a file.</p>
    <div class="ask-buttons">
      <button type="button" class="primary" onClick={chooseFiles}>
        Choose a picture
      </button>
      <button type="button" class="touch-only" onClick={takePhotograph}>
        <Icon name="camera" />
        Take a photo
      </button>
    </div>
    {readsText && <Words />}
  </section>
);

const Words = () => (
  <form class="words" id="words" role="search" onSubmit={find}>
    <label for="text">or say in words what to find</label>
    <input
      id="text"
      name="text"
      type="search"
      placeholder="electric guitar"
      maxLength={1000}
      autocomplete="off"
      enterkeyhint="search"
      required
    />
    <button type="submit">Find</button>
  </form>
);

function find(event: SubmitEvent): void {
  event.preventDefault();
  const text = (document.getElementById("text") as HTMLInputElement).value.trim();
  if (text) void navigate({ ...start(here()), text });
}
