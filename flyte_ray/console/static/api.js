// Speak with the HTTP API. Knows addresses and how to log in; knows no page.

import { askForToken } from "./login.js";

export const BASE = document.documentElement.dataset.base || "";

/** What the API refused, in its own words. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** Build an address of the API or of a page from its parts, each escaped. */
export function at(...parts) {
  return `${BASE}/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

/** Write a query; what is empty is left out, lists are repeated. */
export function query(words) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(words)) {
    for (const each of [value].flat()) {
      if (each !== "" && each !== null && each !== undefined) written.append(name, each);
    }
  }
  const text = written.toString();
  return text ? `?${text}` : "";
}

/** Read JSON; asks for the token where one is needed. */
export async function read(address, signal) {
  return ask(address, { signal });
}

/** Have something done. */
export async function act(address, body = {}) {
  return ask(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

async function ask(address, options) {
  const answer = await fetch(address, { credentials: "same-origin", ...options });
  if (answer.status === 401 && (await askForToken())) return ask(address, options);
  if (!answer.ok) throw new Refused(answer.status, await sentenceOf(answer));
  return answer.status === 204 ? null : answer.json();
}

async function sentenceOf(answer) {
  const text = await answer.text();
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return detail;
    if (Array.isArray(detail)) return detail.map((each) => `${each.loc?.at(-1) ?? ""}: ${each.msg}`).join("; ");
  } catch {
    // no JSON: a proxy between us and the console speaks
  }
  return text.slice(0, 300) || `The console answered ${answer.status}.`;
}

const AGAIN_MS = 1000;
const LATEST_MS = 30_000;

/**
 * Follow server-sent events until `signal` aborts or `end` comes. Who was cut off goes on behind the last event seen: its
 * id is what `after` counts. `onState` hears whether it is connected, and what the console refused, if it did: then it is
 * over.
 */
export function follow(address, listeners, signal, onState = () => {}) {
  let source = null;
  let last = "";
  let wait = AGAIN_MS;
  const close = () => source?.close();
  const again = async (asked) => {
    onState(false);
    close(); // the browser would ask with the old `after`
    const refusal = await refusalOf(asked, signal);
    if (signal.aborted) return;
    if (refusal) return onState(false, refusal);
    setTimeout(connect, wait);
    wait = Math.min(2 * wait, LATEST_MS);
  };
  const connect = () => {
    if (signal.aborted) return;
    const asked = new URL(address, location.href);
    if (last) asked.searchParams.set("after", last);
    source = new EventSource(asked);
    source.onopen = () => {
      wait = AGAIN_MS;
      onState(true);
    };
    source.onerror = () => again(asked);
    for (const [kind, listener] of Object.entries(listeners)) {
      source.addEventListener(kind, (event) => {
        last = event.lastEventId || last;
        if (kind === "end") close();
        listener(JSON.parse(event.data));
      });
    }
  };
  signal.addEventListener("abort", close);
  connect();
}

/** Say why the console refuses an address for good; empty where another try may help. Asks for the token if it lacks. */
async function refusalOf(address, signal) {
  const leaving = new AbortController();
  try {
    const answer = await fetch(address, { credentials: "same-origin", signal: AbortSignal.any([signal, leaving.signal]) });
    if (answer.status === 401 && (await askForToken())) return "";
    const isFinal = answer.status >= 400 && answer.status < 500 && answer.status !== 429;
    return isFinal ? await sentenceOf(answer) : "";
  } catch {
    return ""; // nobody answers at the moment
  } finally {
    leaving.abort(); // a stream would go on
  }
}

/** Call again and again while the page is looked at, `seconds` after each answer. */
export async function repeat(seconds, signal, call) {
  while (!signal.aborted) {
    if (!document.hidden) await call();
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}
