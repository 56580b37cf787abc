// The list of deployed tasks.

import { at, read } from "./api.js";
import { fill, h, searchBox } from "./dom.js";
import { list, moveInList } from "./runs.js";
import { ago, counted, moment } from "./words.js";

export async function open({ main, query, signal, setQuery }) {
  document.title = "Tasks · flyte-ray";
  const tasks = await read(at("api", "deployed"), signal);
  const rows = h("tbody");
  const said = h("p", { class: "empty", role: "status" });
  const search = searchBox("Search tasks, people, images", { class: "wide", value: query.get("q") ?? "" });
  const show = () => {
    const text = search.value.trim().toLowerCase();
    setQuery({ q: search.value.trim() });
    const found = tasks.filter(({ task, by, image, docs }) =>
      [task, by, image, docs].join("\n").toLowerCase().includes(text),
    );
    fill(rows, found.map(rowOf));
    fill(said, tasks.length ? counted(found.length, "task") : "No deployed tasks. Deploy some with flyte-ray deploy.");
  };
  search.addEventListener("input", show);
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("header", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Tasks")),
      h("div", { class: "toolbar" }, search),
      list("Deployed tasks", ["Task", "Interface", "Version", "Deployed", "By", "Image"], rows),
      said,
    ),
  );
  addEventListener("keydown", (event) => moveInList(event, rows), { signal });
  show();
}

function rowOf(task) {
  return h(
    "tr",
    {},
    h("td", {}, h("a", { class: "row-link", href: at("tasks", task.task) }, task.task)),
    h("td", { class: "interface" }, task.interface),
    h("td", {}, h("code", { class: "version-name" }, task.version)),
    h("td", { class: "when", title: moment(task.at_us) }, ago(task.at_us)),
    h("td", { class: "who" }, task.by),
    h("td", { class: "minor" }, task.image),
  );
}
