// The list of runs: live, filtered by what stands in the address, a page at a time.

import { at, query as write, read, repeat } from "./api.js";
import { button, fill, h, isTyping } from "./dom.js";
import { PHASES, phaseBadge, phaseCounts, phaseText, shownPhase, hasEnded } from "./phase.js";
import { ago, bytes, duration, moment, shortId } from "./words.js";

const PAGE = 50;
const SINCE = [
  ["", "any time"],
  ["3600", "last hour"],
  ["86400", "last day"],
  ["604800", "last week"],
  ["2592000", "last 30 days"],
];
const LIVE_S = 2;
export const COLUMNS = ["Phase", "Run", "Task", "Started", "Duration", "Actions", "Who", "Labels"];

export async function open({ main, query, signal, go, setQuery }) {
  document.title = "Runs · flyte-ray";
  const rows = h("tbody");
  const said = h("p", { class: "empty", role: "status" });
  const pages = h("nav", { class: "row pages", "aria-label": "Pages of runs" });
  const cluster = h("div", { class: "cluster" });
  const filters = Object.fromEntries(
    ["text", "phase", "task", "label", "since", "before"].map((name) => [name, query.get(name) ?? ""]),
  );
  let asked = 0;
  const refresh = async () => {
    const number = (asked += 1);
    const { since, ...others } = filters;
    const since_us = since ? Math.round((Date.now() - since * 1000) * 1000) : "";
    const page = await read(at("api", "runs") + write({ limit: PAGE, ...others, since_us }), signal);
    if (number !== asked) return;
    update(rows, page.runs);
    const isFiltered = Object.entries(filters).some(([name, value]) => value && name !== "before");
    fill(
      said,
      page.runs.length ? "" : isFiltered ? "No run matches." : "No runs yet. Start one with flyte-ray submit.",
    );
    fill(
      pages,
      filters.before ? h("a", { href: location.pathname + write({ ...filters, before: "" }) }, "Newest") : null,
      page.next
        ? h("a", { href: location.pathname + write({ ...filters, before: page.next }), rel: "next" }, "Older runs")
        : null,
    );
  };
  const change = (name, value) => {
    filters[name] = value;
    filters.before = "";
    setQuery({ [name]: value, before: "" });
    refresh().catch(report);
  };
  const report = (error) => signal.aborted || fill(said, error.message);
  fill(
    main,
    h(
      "div",
      { class: "page runs" },
      h("header", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Runs"), cluster),
      filterBar(filters, change, go),
      list("Runs, the newest first", COLUMNS, rows),
      said,
      pages,
    ),
  );
  addEventListener("keydown", (event) => moveInList(event, rows), { signal });
  await refresh();
  showCluster(cluster, signal);
  repeat(LIVE_S, signal, () => refresh().catch(report));
}

/** Make a table of things, named for who hears it, with the titles of its columns. */
export function list(caption, columns, rows) {
  return h(
    "table",
    { class: "list" },
    h("caption", { class: "unseen" }, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        columns.map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    rows,
  );
}

/** Move the focus from link to link of a list by j and k. */
export function moveInList(event, rows) {
  if (isTyping(event) || !["j", "k"].includes(event.key)) return;
  const links = [...rows.querySelectorAll("a.row-link")];
  const now = links.indexOf(document.activeElement);
  const next = now < 0 ? 0 : now + (event.key === "j" ? 1 : -1);
  links[Math.max(0, Math.min(next, links.length - 1))]?.focus();
}

function filterBar(filters, change, go) {
  const typed = (name, label, options = {}) =>
    h("input", {
      type: name === "text" ? "search" : "text",
      value: filters[name],
      placeholder: label,
      "aria-label": label,
      spellcheck: "false",
      autocomplete: "off",
      ...options,
      on: { change: (event) => change(name, event.target.value.trim()) },
    });
  const text = typed("text", "Search names, tasks, labels", { class: "wide" });
  let timer;
  text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change("text", text.value.trim()), 250);
  });
  const pick = (name, label, options) =>
    h(
      "select",
      { "aria-label": label, on: { change: (event) => change(name, event.target.value) } },
      options.map(([value, shown]) => h("option", { value, selected: value === filters[name] }, shown)),
    );
  return h(
    "form",
    { class: "toolbar filters", role: "search", on: { submit: (event) => event.preventDefault() } },
    text,
    pick("phase", "Phase", [["", "any phase"], ...PHASES.map((phase) => [phase, phaseText(phase)])]),
    typed("task", "Task"),
    typed("label", "Label, as key=value"),
    pick("since", "Started", SINCE),
    button("Clear", () => go(location.pathname), { class: "quiet" }),
  );
}

/** Bring rows of runs up to date; those that stay the same are left alone, so that the focus stays where it is. */
export function update(rows, runs) {
  const known = new Map([...rows.children].map((row) => [row.dataset.run, row]));
  const focused = document.activeElement?.closest("tr")?.dataset.run;
  const made = runs.map((run) => {
    const state = JSON.stringify(run);
    const old = known.get(run.name);
    if (old?.state === state) {
      old.renew();
      return old;
    }
    return rowOf(run, state);
  });
  if (made.length !== rows.children.length || made.some((row, index) => rows.children[index] !== row)) {
    rows.replaceChildren(...made);
    if (focused)
      made
        .find((row) => row.dataset.run === focused)
        ?.querySelector("a.row-link")
        .focus({ preventScroll: true });
  }
}

function rowOf(run, state) {
  const started = h("td", { class: "when", title: moment(run.started_us) });
  const lasted = h("td", { class: "number when" });
  const labels = Object.entries(run.labels ?? {}).filter(([name]) => name !== "started_by");
  const row = h(
    "tr",
    { "data-run": run.name },
    h("td", {}, phaseBadge(shownPhase(run))),
    h("td", {}, h("a", { class: "row-link id", href: at("runs", run.name) }, run.name), origin(run)),
    h("td", { class: "task", title: run.task }, run.task),
    started,
    lasted,
    h("td", {}, phaseCounts(run.actions)),
    h("td", { class: "who" }, run.who ?? run.labels?.started_by ?? ""),
    h(
      "td",
      { class: "labels" },
      labels.map(([name, value]) =>
        h(
          "a",
          {
            class: "chip",
            href: location.pathname + write({ label: `${name}=${value}` }),
            title: `Runs with ${name}=${value}`,
          },
          `${name}=${value}`,
        ),
      ),
    ),
  );
  row.state = state;
  row.renew = () => {
    fill(started, ago(run.started_us));
    const end = hasEnded(run.phase) ? run.ended_us : Date.now() * 1000;
    fill(lasted, end && shownPhase(run) !== "cut_off" ? duration((end - run.started_us) / 1000) : "");
  };
  row.renew();
  return row;
}

/** Say from what a run was started anew. */
export function origin(run) {
  if (!run.rerun) return null;
  const { run: first, action, recover } = run.rerun;
  return h(
    "span",
    { class: "hint origin" },
    recover ? "recovers " : "reruns ",
    h("a", { href: at("runs", first) }, first),
    action && action !== "a0"
      ? [" / ", h("a", { class: "id", href: at("runs", first, "actions", action), title: action }, shortId(action))]
      : "",
  );
}

async function showCluster(box, signal) {
  const names = [
    ["cpus", "CPU", String],
    ["gpus", "GPU", String],
    ["memory", "Memory", bytes],
  ];
  repeat(5, signal, async () => {
    const found = await read(at("api", "cluster"), signal).catch(() => null);
    fill(
      box,
      found
        ? names.filter(([key]) => found[key]?.total).map(([key, label, text]) => meter(label, found[key], text))
        : [],
    );
  });
}

function meter(label, { used, total, pending }, text) {
  const round = (number) => text(Math.round(number * 10) / 10);
  const filled = h("i");
  filled.style.width = `${Math.min(100, (100 * used) / total)}%`;
  return h(
    "span",
    { class: "meter" },
    h("span", { class: "hint" }, label),
    h("span", { class: "meter-bar", "aria-hidden": "true" }, filled),
    `${round(used)} of ${round(total)}`,
    pending ? h("span", { class: "pending" }, ` ${round(pending)} wait`) : null,
  );
}
