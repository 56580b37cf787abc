// The list of apps.

import { at, read, repeat } from "./api.js";
import { fill, h } from "./dom.js";
import { list, moveInList } from "./runs.js";

const LIVE_S = 3;

export async function open({ main, signal }) {
  document.title = "Apps · flyte-ray";
  const rows = h("tbody");
  const said = h("p", { class: "empty", role: "status" });
  let shown = "";
  const refresh = async () => {
    const apps = await read(at("api", "apps"), signal);
    const state = JSON.stringify(apps);
    if (state === shown) return;
    shown = state;
    fill(rows, apps.map(rowOf));
    fill(said, apps.length ? "" : "No apps. Serve one with flyte-ray serve.");
  };
  await refresh();
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("header", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Apps")),
      list("Apps", ["State", "App", "URL", "Revision", "Token", "Parameters"], rows),
      said,
    ),
  );
  addEventListener("keydown", (event) => moveInList(event, rows), { signal });
  repeat(LIVE_S, signal, () => refresh().catch((error) => signal.aborted || fill(said, error.message)));
}

function rowOf(app) {
  return h(
    "tr",
    {},
    h("td", {}, appState(shownState(app))),
    h("td", {}, h("a", { class: "row-link", href: at("apps", app.name) }, app.name)),
    h("td", {}, app.url ? h("a", { href: app.url, target: "_blank", rel: "noopener noreferrer" }, app.url) : null),
    h("td", { class: "number minor" }, String(app.revision ?? "")),
    h("td", { class: "minor" }, app.requires_auth ? "needed" : "none"),
    h(
      "td",
      {},
      Object.entries(app.parameters ?? {}).map(([name, value]) =>
        h("span", { class: "chip" }, `${name}: ${short(value)}`),
      ),
    ),
  );
}

function short(value) {
  const text = typeof value === "object" && value ? (value.run ?? JSON.stringify(value)) : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** Of an app that is to be served what its cluster says of it, where that is reached; else what is on record. */
export function shownState({ state, status }) {
  const isKnown = state === "active" && status && status !== "UNKNOWN";
  return isKnown ? status : state;
}

/** Draw an app's state as phases are drawn. */
export function appState(state) {
  const name = String(state ?? "unknown").toLowerCase();
  const phase = /^(active|running|healthy|serving)$/.test(name)
    ? "succeeded"
    : /fail|unhealthy/.test(name)
      ? "failed"
      : /deploy|start|updat|activat/.test(name) && !/deactivated/.test(name)
        ? "running"
        : "queued";
  return h(
    "span",
    { class: `badge phase-${phase}` },
    h("i", { class: `dot phase-${phase}`, "aria-hidden": "true" }),
    name.replaceAll("_", " "),
  );
}
