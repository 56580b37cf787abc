// Outcomes that are kept over runs.

import { at, read } from "./api.js";
import { fill, h, searchBox } from "./dom.js";
import { list, moveInList } from "./runs.js";
import { ago, bytes, count, counted, moment, shortId } from "./words.js";

const AT_ONCE = 200;

export async function open({ main, query, signal, setQuery }) {
  document.title = "Cache · flyte-ray";
  const answer = await read(at("api", "cache"), signal);
  const entries = Array.isArray(answer) ? answer : answer.entries;
  const rows = h("tbody");
  const said = h("p", { class: "empty", role: "status" });
  const search = searchBox("Search tasks, runs, keys", { class: "wide", value: query.get("q") ?? "" });
  const show = () => {
    const text = search.value.trim().toLowerCase();
    setQuery({ q: search.value.trim() });
    const found = entries.filter(
      (entry) =>
        !text ||
        [entry.task, entry.run, entry.key].some((word) =>
          String(word ?? "")
            .toLowerCase()
            .includes(text),
        ),
    );
    fill(rows, found.slice(0, AT_ONCE).map(rowOf));
    fill(
      said,
      !entries.length
        ? 'Nothing is kept. A task with cache="auto" keeps its outcomes.'
        : found.length > AT_ONCE
          ? `The first ${AT_ONCE} of ${count(found.length)}: search for others.`
          : counted(found.length, "outcome"),
    );
  };
  search.addEventListener("input", show);
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("header", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Cache")),
      h("div", { class: "toolbar" }, search),
      list("Kept outcomes", ["Task", "Made by", "When", "Size", "Key"], rows),
      said,
    ),
  );
  addEventListener("keydown", (event) => moveInList(event, rows), { signal });
  show();
}

function rowOf(entry) {
  const made = entry.action ? at("runs", entry.run, "actions", entry.action) : at("runs", entry.run ?? "");
  const when = entry.created_us ?? entry.at_us;
  return h(
    "tr",
    {},
    h("td", { class: "task" }, entry.task ?? ""),
    h(
      "td",
      {},
      entry.run
        ? h(
            "a",
            { class: "row-link id", href: made },
            entry.action ? `${entry.run} / ${shortId(entry.action)}` : entry.run,
          )
        : null,
    ),
    h("td", { title: moment(when) }, ago(when)),
    h("td", { class: "number" }, bytes(entry.size)),
    h("td", {}, h("code", { class: "key" }, entry.key ?? "")),
  );
}
