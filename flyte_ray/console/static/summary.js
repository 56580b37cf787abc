// Say what a run is: its phase and counts, its facts, and why it ended so.

import { at, query as write } from "./api.js";
import { fill, h } from "./dom.js";
import { hasEnded, phaseBadge, phaseCounts, phaseText, shownPhase } from "./phase.js";
import { origin } from "./runs.js";
import { ago, duration, moment, shortId } from "./words.js";

/** Show a run's name and phase, with what one may do. */
export function showHead(head, run, verbs) {
  const phase = shownPhase(run);
  fill(
    head,
    h("h1", { class: "id", tabindex: "-1" }, run.name),
    phaseBadge(phase, phase === "cut_off" ? `cut off${seen(run.hold)}` : phaseText(phase)),
    phaseCounts(run.actions),
    h("span", { class: "grow" }),
    verbs,
  );
}

/** Show what is known of a run's start and end, in one line. */
export function showFacts(line, run) {
  const isLive = !hasEnded(run.phase) && shownPhase(run) !== "cut_off";
  const labels = Object.entries(run.labels ?? {}).filter(([name]) => name !== "started_by");
  const end = isLive ? Date.now() * 1000 : run.ended_us;
  fill(
    line,
    fact("Task", h("code", {}, run.task)),
    fact("Started", h("span", { title: ago(run.started_us) }, moment(run.started_us))),
    fact(isLive ? "Runs for" : "Took", end ? duration((end - run.started_us) / 1000) : ""),
    fact("By", run.who ?? run.labels?.started_by),
    fact("Where", run.mode),
    run.rerun ? fact("Origin", origin(run)) : null,
    labels.map(([name, value]) =>
      h("a", { class: "chip", href: at("") + write({ label: `${name}=${value}` }) }, `${name}=${value}`),
    ),
  );
}

function seen(hold) {
  return hold?.seen_s ? ` ${duration(hold.seen_s * 1000)} ago` : "";
}

function fact(name, ...value) {
  if (value.every((each) => each === null || each === undefined || each === "")) return null;
  return h("dl", { class: "fact", "data-fact": name }, h("dt", {}, name), h("dd", {}, value));
}

/** Say why a run or an action ended so, with the action that caused it. */
export function failure(run, error) {
  return h(
    "section",
    { class: "failure", "aria-label": "Why it ended so" },
    h(
      "p",
      { class: "message" },
      error.code && !error.message?.startsWith(error.code) ? h("b", {}, error.code, ": ") : null,
      error.message ?? "",
    ),
    error.cause_action
      ? h(
          "p",
          {},
          "Caused by ",
          h("a", { href: at("runs", run, "actions", error.cause_action) }, `action ${shortId(error.cause_action)}`),
        )
      : null,
  );
}
