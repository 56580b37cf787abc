// Show JSON with its parts folded.

import { h } from "./dom.js";
import { count } from "./words.js";

const AT_ONCE = 100;
const LONG = 300;

/** Make an element of a value of JSON; objects and lists below `open` levels are folded. */
export function json(value, open = 2) {
  return h("div", { class: "json" }, node(value, null, open));
}

function node(value, key, open) {
  const name = key === null ? null : h("span", { class: "key" }, String(key), ": ");
  if (value === null || typeof value !== "object") return h("div", {}, name, leaf(value));
  const isList = Array.isArray(value);
  const entries = isList ? value.map((each, index) => [index, each]) : Object.entries(value);
  const brackets = isList ? "[]" : "{}";
  if (!entries.length) return h("div", {}, name, brackets);
  const short =
    isList && entries.length <= 12 && value.every((each) => typeof each === "number" || typeof each === "boolean");
  if (short)
    return h(
      "div",
      {},
      name,
      "[",
      value.map((each, index) => [index ? ", " : "", leaf(each)]),
      "]",
    );
  const body = h("div", { class: "below" });
  const fold = h(
    "details",
    { open: open > 0 },
    h("summary", {}, name, h("span", { class: "hint" }, `${brackets[0]}${count(entries.length)}${brackets[1]}`)),
    body,
  );
  const show = () => fold.open && !body.childElementCount && more(body, entries, 0, open - 1);
  fold.addEventListener("toggle", show);
  show();
  return fold;
}

function more(body, entries, from, open) {
  body.append(...entries.slice(from, from + AT_ONCE).map(([key, value]) => node(value, key, open)));
  const left = entries.length - from - AT_ONCE;
  if (left <= 0) return;
  const next = h("button", { type: "button", class: "quiet small" }, `${count(left)} more`);
  next.addEventListener("click", () => {
    next.remove();
    more(body, entries, from + AT_ONCE, open);
  });
  body.append(next);
}

function leaf(value) {
  if (typeof value !== "string")
    return h("span", { class: `leaf ${value === null ? "null" : typeof value}` }, String(value));
  if (value.length <= LONG) return h("span", { class: "leaf string" }, JSON.stringify(value));
  const text = h("span", { class: "leaf string" }, `${JSON.stringify(value.slice(0, LONG)).slice(0, -1)}… `);
  const whole = h("button", { type: "button", class: "quiet small" }, `all ${count(value.length)} characters`);
  whole.addEventListener("click", () => text.replaceChildren(JSON.stringify(value)));
  return h("span", {}, text, whole);
}
