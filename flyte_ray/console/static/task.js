// A deployed task: its versions and what each changed, a form to start it, its triggers and its last runs.

import * as acting from "./acting.js";
import { at, query as write, read, repeat } from "./api.js";
import { button, fill, h } from "./dom.js";
import { COLUMNS, list, moveInList, update } from "./runs.js";
import { triggerTable } from "./triggers.js";
import { ago, moment, shortTask } from "./words.js";

const RUNS = 10;
const LIVE_S = 2;

export async function open({ main, params: { name }, signal, go }) {
  document.title = `${name} · flyte-ray`;
  const versions = await read(at("api", "deployed", name), signal);
  if (signal.aborted) return;
  const [latest] = versions;
  const launch = async (version) => {
    const answer = await acting.launch(version);
    if (answer?.run) go(at("runs", answer.run));
  };
  const triggers = triggerTable({ task: name, signal });
  const runs = h("tbody");
  const none = h("p", { class: "hint", role: "status" });
  fill(
    main,
    h(
      "div",
      { class: "page task-page" },
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: at("tasks") }, "Tasks"), " / ", name),
      h(
        "header",
        { class: "run-head" },
        h("h1", { tabindex: "-1" }, name),
        h("span", { class: "grow" }),
        h("div", { class: "verbs" }, button("Launch", () => launch(latest), { class: "primary" })),
      ),
      h("pre", { class: "signature" }, `${shortTask(name)}${latest.interface}`),
      latest.docs ? h("p", { class: "docs" }, latest.docs) : null,
      facts(latest),
      part("Versions", versionList(versions, launch)),
      part("Triggers", triggers.element),
      part(
        ["Runs ", h("a", { href: at("") + write({ task: name }) }, "all")],
        h("div", { class: "runs" }, list("Last runs", COLUMNS, runs)),
        none,
      ),
    ),
  );
  addEventListener("keydown", (event) => moveInList(event, runs), { signal });
  repeat(LIVE_S, signal, async () => {
    const page = await read(at("api", "runs") + write({ task: name, limit: RUNS }), signal).catch(() => null);
    if (!page || signal.aborted) return;
    update(runs, page.runs);
    runs.closest("table").hidden = !page.runs.length;
    fill(none, page.runs.length ? "" : "No runs yet.");
  });
}

function part(title, ...content) {
  return h("section", { class: "part" }, h("h2", {}, title), content);
}

function facts(task) {
  return h(
    "div",
    { class: "facts-line" },
    [
      ["Version", h("code", {}, task.version)],
      ["Deployed", h("span", { title: moment(task.at_us) }, ago(task.at_us))],
      ["By", task.by],
      ["Environment", task.environment],
      ["Image", task.image],
      ["Code", task.code ? h("code", {}, task.code) : ""],
      ["Cache", task.cache ? "kept" : ""],
    ]
      .filter(([, value]) => value)
      .map(([name, value]) => h("dl", { class: "fact" }, h("dt", {}, name), h("dd", {}, value))),
  );
}

function versionList(versions, launch) {
  const rows = versions.map((version, index) =>
    h(
      "tr",
      {},
      h("td", {}, h("code", { class: "version-name" }, version.version), index ? null : " latest"),
      h("td", { class: "when", title: moment(version.at_us) }, ago(version.at_us)),
      h("td", { class: "who" }, version.by),
      h("td", { class: "changed" }, version.changed === "first" ? version.interface : version.changed),
      h(
        "td",
        { class: "end" },
        button("Launch", () => launch(version), {
          class: "quiet small",
          "aria-label": `Launch version ${version.version}`,
        }),
      ),
    ),
  );
  return list("Versions, the newest first", ["Version", "Deployed", "By", "Interface", ""], h("tbody", {}, rows));
}
