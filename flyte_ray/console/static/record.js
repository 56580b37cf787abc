// Show what is on record of an action besides its values: steps, cache, code, environment, events.

import { at } from "./api.js";
import { copyButton, h } from "./dom.js";
import { json } from "./json.js";
import { phaseBadge } from "./phase.js";
import { duration, moment, shortId } from "./words.js";

/** List the traced steps of an action. */
export function traces(steps) {
  if (!steps?.length) return null;
  return h(
    "table",
    { class: "plain" },
    h(
      "tbody",
      {},
      steps.map((step) =>
        h(
          "tr",
          {},
          h(
            "td",
            {},
            phaseBadge(step.outcome, ""),
            h("span", { class: "unseen" }, step.outcome),
            " ",
            h("code", {}, step.step),
          ),
          h("td", { class: "number" }, duration(step.seconds * 1000)),
          h("td", { class: "wrong" }, step.error),
        ),
      ),
    ),
  );
}

/** Say how an action uses the cache, and who made what answered it. */
export function cacheUse(cache) {
  if (!cache) return null;
  const made = cache.from_run
    ? h(
        "a",
        {
          class: "id",
          href: cache.from_action
            ? at("runs", cache.from_run, "actions", cache.from_action)
            : at("runs", cache.from_run),
        },
        cache.from_action ? `${cache.from_run} / ${shortId(cache.from_action)}` : cache.from_run,
      )
    : null;
  const said = {
    hit: ["Not run: the outcome was made by ", made],
    kept: ["Its outcome is kept for other runs."],
    asked: ["Its outcome will be kept for other runs."],
  }[cache.status];
  return [
    h("p", {}, said),
    h(
      "dl",
      { class: "facts" },
      [
        ["key", cache.key],
        ["version", cache.version],
      ]
        .filter(([, value]) => value)
        .map(([name, value]) => [h("dt", {}, name), h("dd", {}, h("code", {}, value))]),
    ),
  ];
}

/** Show an error's traceback. */
export function traceback(text) {
  return h(
    "details",
    { class: "traceback", open: true },
    h("summary", {}, "Traceback"),
    h("pre", { tabindex: "0" }, text),
    copyButton(text, "Copy the traceback"),
  );
}

/** Show the code of a task as it was submitted. */
export function code(found) {
  if (!found?.text) return h("p", { class: "hint" }, "The code of this run is not in its root.");
  const first = found.line ?? 1;
  return h(
    "section",
    {},
    h(
      "p",
      { class: "row" },
      h("code", {}, found.file ? `${found.file}:${first}` : ""),
      found.failing ? h("span", { class: "wrong" }, `Line ${found.failing} failed`) : null,
      copyButton(found.text, "Copy the code"),
    ),
    h(
      "pre",
      { class: "source", tabindex: "0" },
      found.text
        .replace(/\n$/, "")
        .split("\n")
        .map((line, index) =>
          h(
            "span",
            { class: first + index === found.failing ? "source-line failing" : "source-line" },
            h("span", { class: "line-number", "aria-hidden": "true" }, String(first + index)),
            `${line}\n`,
          ),
        ),
    ),
  );
}

/** Say where a task runs. */
export function environment(found) {
  if (!found) return null;
  const shown = Object.entries(found).filter(
    ([, value]) =>
      value !== null &&
      value !== undefined &&
      value !== "" &&
      !(typeof value === "object" && !Object.keys(value).length),
  );
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd", {}, typeof value === "object" ? json(value) : String(value)),
    ]),
  );
}

/** Show the command that runs an action again here. */
export function debugLine(line) {
  if (!line) return null;
  return h("div", { class: "row uri" }, h("code", { "data-copied": "" }, line), copyButton(line, "Copy the command"));
}

/** List what the log says of an action. */
export function events(list) {
  if (!list?.length) return h("p", { class: "hint" }, "None.");
  return h(
    "table",
    { class: "plain events" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["When", "What", "Attempt", "Slot", "More"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      list.map(({ at_us, kind, attempt: number, slot, text }) =>
        h(
          "tr",
          {},
          h("td", {}, h("time", {}, moment(at_us))),
          h("td", {}, kind.toLowerCase()),
          h("td", {}, kind === "CALLED" ? "" : String(number)),
          h("td", {}, slot),
          h("td", {}, text),
        ),
      ),
    ),
  );
}
