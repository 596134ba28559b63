// Being let in where the service asks for a key. The key is exchanged for a session, a cookie that
// pictures carry as well; it is kept for this tab, in case the session ends.

const KEPT = "lookalike-key";

export interface Question {
  /** Why the last answer did not do. */
  problem: string;
  answer: (key: string | undefined) => void;
}

let question: Question | undefined;
let show: (question: Question | undefined) => void = () => undefined;
let under: Promise<boolean> | undefined;

/** Whoever shows the question is told of it, and of its end. */
export function onQuestion(shown: typeof show): void {
  show = shown;
  show(question);
}

/** Whether the service lets this tab in, after asking for a key; however many ask at once. */
export function admitted(): Promise<boolean> {
  under ??= admit().finally(() => {
    under = undefined;
  });
  return under;
}

async function admit(): Promise<boolean> {
  let key: string | undefined = sessionStorage.getItem(KEPT) ?? undefined;
  let problem = "";
  while (!key || !(await opens(key))) {
    sessionStorage.removeItem(KEPT);
    if (key) problem = "This key opens nothing here. Is it whole?";
    key = await asked(problem);
    if (key === undefined) return false;
  }
  sessionStorage.setItem(KEPT, key);
  return true;
}

async function asked(problem: string): Promise<string | undefined> {
  const key = await new Promise<string | undefined>((answer) => {
    question = { problem, answer };
    show(question);
  });
  question = undefined;
  show(question);
  return key?.trim();
}

async function opens(key: string): Promise<boolean> {
  if (!/^[\x21-\x7e]+$/.test(key)) return false; // no header can carry it
  const headers = { Authorization: `Bearer ${key}` };
  return (await fetch("/v1/session", { method: "POST", headers })).ok;
}
