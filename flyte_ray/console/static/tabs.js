// Tabs: one part of a page at a time, moved between by the arrow keys.

import { h } from "./dom.js";

/**
 * Make tabs. `show` fills a panel and gets a signal that aborts when another one is chosen; `chosen` is a name, in any
 * case, the first one otherwise.
 */
export function tabs(names, { label, chosen, show, onChoose, signal }) {
  let now = names.find((name) => name.toLowerCase() === chosen?.toLowerCase()) ?? names[0];
  let leaving = new AbortController();
  const panel = h("div", { role: "tabpanel", class: "panel", id: "panel", tabindex: "-1" });
  const choose = (name, { focus = false } = {}) => {
    now = name;
    leaving.abort();
    leaving = new AbortController();
    for (const [each, tab] of made) {
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", made.get(name).id);
    if (focus) made.get(name).focus();
    panel.replaceChildren();
    show(name, panel, leaving.signal);
  };
  const made = new Map(
    names.map((name) => [
      name,
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name.toLowerCase()}`,
          "aria-controls": "panel",
          on: { click: () => (choose(name), onChoose(name)) },
        },
        name,
        h("span", { class: "mark" }),
      ),
    ]),
  );
  const list = h("div", { role: "tablist", class: "tabs", "aria-label": label }, [...made.values()]);
  list.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = names[(names.indexOf(now) + by + names.length) % names.length];
    choose(next, { focus: true });
    onChoose(next);
    event.preventDefault();
  });
  signal.addEventListener("abort", () => leaving.abort());
  queueMicrotask(() => choose(now)); // its owner is made by then
  return {
    element: h("div", { class: "tabbed" }, list, panel),
    chosen: () => now,
    renew: () => choose(now),
    mark: (marks) => {
      for (const [name, text] of Object.entries(marks)) {
        const tab = made.get(name);
        tab.classList.toggle("has", Boolean(text));
        tab.title = text ?? "";
      }
    },
  };
}
