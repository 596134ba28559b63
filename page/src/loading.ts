import { useEffect, useState } from "preact/hooks";

import { fail } from "./session";

/** What a view needs from the service, asked for again whenever `key` changes. */
export function useLoaded<Value>(
  key: string,
  load: (signal: AbortSignal) => Promise<Value>,
): Value | undefined {
  const [loaded, setLoaded] = useState<{ key: string; value: Value }>();
  useEffect(() => {
    const under = new AbortController();
    load(under.signal).then(
      (value) => !under.signal.aborted && setLoaded({ key, value }),
      (problem: unknown) => !under.signal.aborted && fail(problem),
    );
    return () => under.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `key` says all that `load` depends on
  }, [key]);
  return loaded?.value;
}
