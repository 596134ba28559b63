// Asking for the key of a service that wants one.

import { useEffect, useRef, useState } from "preact/hooks";

import { type Question, onQuestion } from "./admission";

export function KeyDialog() {
  const [question, setQuestion] = useState<Question>();
  useEffect(() => onQuestion(setQuestion), []);
  return question ? <Asked {...question} /> : null;
}

function Asked({ problem, answer }: Question) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="key" aria-labelledby="key-title" onClose={() => answer(undefined)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          answer(key);
        }}
      >
        <h2 id="key-title">This service asks for a key</h2>
        <p>Who runs it has one for you. It is kept until you close this tab.</p>
        <label class="field">
          Key
          <input
            id="key"
            type="password"
            autoComplete="off"
            required
            value={key}
            aria-invalid={problem ? true : undefined}
            aria-describedby={problem ? "key-problem" : undefined}
            onInput={({ currentTarget }) => setKey(currentTarget.value)}
          />
        </label>
        {problem && (
          <p class="key-problem" id="key-problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="primary">
          Open
        </button>
      </form>
    </dialog>
  );
}
