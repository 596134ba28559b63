// Collections that the service cannot open: which, and why.

import type { Broken } from "./service";
import { counted, sentence } from "./wording";

export function Unopened({ broken }: { broken: Broken[] }) {
  const [one] = broken;
  if (!one) return null;
  const which = broken.length === 1 ? one.name : counted(broken.length, "collection");
  return (
    <section aria-label="Collections that cannot be opened">
      <details class="unopened">
        <summary>{which} cannot be opened</summary>
        <dl>
          {broken.map(({ name, problem }) => (
            <div key={name}>
              <dt hidden={broken.length === 1}>{name}</dt>
              <dd>{sentence(problem.detail)}</dd>
            </div>
          ))}
        </dl>
        <p>The service tries again now and then.</p>
      </details>
    </section>
  );
}
