// Show where the time of an action went: each attempt's waiting and running.

import { h } from "./dom.js";
import { hasEnded, phaseBadge } from "./phase.js";
import { duration } from "./words.js";

/** Draw the attempts of an action one below the other, on the time that they took together. */
export function attempts(action) {
  const list = action.attempt_list ?? [];
  if (!list.length) return h("p", { class: "hint" }, hasEnded(action.phase) ? "It was not run." : "No attempt yet.");
  const now = Date.now() * 1000;
  const from = Math.min(...list.map((each) => each.queued_us || each.started_us || now));
  const to = Math.max(...list.map((each) => each.ended_us || now));
  return h(
    "ol",
    { class: "attempts" },
    list.map((each) => attempt(each, from, to, now, { isTold: each === list.at(-1) && Boolean(action.error) })),
  );
}

function attempt(each, from, to, now, { isTold }) {
  const share = (us) => `${(100 * (us - from)) / Math.max(1, to - from)}%`;
  const bar = (kind, start, end) => {
    if (!start || end < start) return null;
    const made = h("i", { class: kind });
    made.style.left = share(start);
    made.style.width = `calc(${share(end)} - ${share(start)})`;
    return made;
  };
  const end = each.ended_us || now;
  const phase =
    { retried: "failed", lost: "failed" }[each.outcome] ?? each.outcome ?? (each.started_us ? "running" : "queued");
  const ready = Math.max(each.queued_us, each.ready_us ?? 0); // a backoff held it until then
  const waited = each.queued_us ? ((each.started_us || end) - ready) / 1000 : null;
  const ran = each.started_us ? (end - each.started_us) / 1000 : null;
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      h("b", {}, `Attempt ${each.attempt}`),
      phaseBadge(phase, (each.outcome ?? phase).replaceAll("_", " ")),
      h(
        "span",
        { class: "hint" },
        [
          ready > each.queued_us ? `backoff ${duration((ready - each.queued_us) / 1000)}` : "",
          waited === null ? "" : `waited ${duration(waited)}`,
          ran === null ? "" : `ran ${duration(ran)}`,
          each.where ? `on ${each.where}` : "",
        ]
          .filter(Boolean)
          .join(" · "),
      ),
    ),
    h(
      "div",
      { class: "attempt-bar", "aria-hidden": "true" },
      bar("wait", each.queued_us, each.started_us || end),
      bar(`run phase-${phase}`, each.started_us, end),
    ),
    each.error && !isTold ? h("p", { class: "wrong" }, each.error) : null,
    each.traceback && !isTold ? h("details", {}, h("summary", {}, "Traceback"), h("pre", {}, each.traceback)) : null,
  );
}

/** Choose one of several attempts by its number; null where there is one. */
export function attemptPicker(numbers, chosen, onChoose) {
  if (numbers.length < 2) return null;
  const options = numbers.map((each) => h("option", { value: each, selected: each === chosen }, each));
  const select = h("select", { on: { change: (event) => onChoose(Number(event.target.value)) } }, options);
  return h("label", { class: "row" }, "Attempt ", select);
}
