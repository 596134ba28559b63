// What covers the page while something is dragged over it.

import { useEffect, useState } from "preact/hooks";

let show: (covered: boolean) => void = () => undefined;

export const setCovered = (covered: boolean) => show(covered);

export function DropCover({ adding }: { adding: boolean }) {
  const [covered, setCovered] = useState(false);
  useEffect(() => {
    show = setCovered;
  }, []);
  return (
    <div class="drop" aria-hidden="true" hidden={!covered}>
      <p>{adding ? "Drop to add" : "Drop to search"}</p>
    </div>
  );
}
