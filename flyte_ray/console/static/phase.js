// Show phases: a shape and a colour each, so that nobody needs to tell colours apart.

import { count } from "./words.js";
import { h, icon } from "./dom.js";

const CHECK = "M2 6.5 5 9.5 10 3";
const SHAPES = {
  queued: "M6 2.5a3.5 3.5 0 1 0 .01 0Z",
  waiting_for_resources: "M6 2a4 4 0 1 0 .01 0ZM6 3.8V6l1.6 1.2",
  initializing: "M6 2a4 4 0 0 1 4 4",
  running: "M4 2.5v7L9.5 6Z",
  paused: "M4.2 2.5v7M7.8 2.5v7",
  succeeded: CHECK,
  failed: "M3 3l6 6M9 3l-6 6",
  aborted: "M6 2a4 4 0 1 0 .01 0ZM3.2 3.2l5.6 5.6",
  timed_out: "M3 2h6M3 10h6M3.5 2C3.5 5 8.5 7 8.5 10M8.5 2C8.5 5 3.5 7 3.5 10",
  recovered: "M3.5 4.2A3.6 3.6 0 1 1 2.4 6.6M3.5 1.8v2.6h2.6",
  cut_off: "M2 6h2.5M7.5 6H10M5 8.5 7 3.5",
};

/** Names in the order in which counts are shown. */
export const PHASES = Object.keys(SHAPES).filter((name) => name !== "cut_off");
const ENDED = new Set(["succeeded", "failed", "aborted", "timed_out", "recovered"]);
const BAD = new Set(["failed", "timed_out"]);

export const hasEnded = (phase) => ENDED.has(phase);
export const isBad = (phase) => BAD.has(phase);
export const phaseText = (phase) => phase.replaceAll("_", " ");

/** Draw a phase's shape. */
export function phaseIcon(phase) {
  return icon(SHAPES[phase] ?? SHAPES.queued, `phase-${phase}`);
}

/** Change a drawn shape into another phase's. */
export function setPhaseIcon(drawn, phase) {
  if (drawn.phase === phase) return;
  drawn.phase = phase;
  drawn.setAttribute("class", `icon phase-${phase}`);
  drawn.firstChild.setAttribute("d", SHAPES[phase] ?? SHAPES.queued);
}

/** Draw a phase's shape with its name. */
export function phaseBadge(phase, text = phaseText(phase)) {
  return h("span", { class: `badge phase-${phase}` }, phaseIcon(phase), text);
}

/** The phase that a run shows: cut off is no phase of the record. */
export function shownPhase(run) {
  return run.hold?.is_cut_off ? "cut_off" : run.phase;
}

/** Draw counts by phase: a bar of parts, and the numbers beside it. */
export function phaseCounts(counts, { bar = true } = {}) {
  const known = PHASES.filter((phase) => counts[phase]);
  const total = known.reduce((sum, phase) => sum + counts[phase], 0);
  const parts = known.map((phase) => {
    const part = h("span", { class: `part phase-${phase}` });
    part.style.flexGrow = counts[phase];
    return part;
  });
  const said = known.map((phase) => `${count(counts[phase])} ${phaseText(phase)}`).join(", ");
  return h(
    "span",
    { class: "counts", title: said },
    bar && total ? h("span", { class: "bar", "aria-hidden": "true" }, parts) : null,
    known.map((phase) =>
      h(
        "span",
        { class: `number phase-${phase}` },
        phaseIcon(phase),
        count(counts[phase]),
        h("span", { class: "unseen" }, ` ${phaseText(phase)}`),
      ),
    ),
  );
}
