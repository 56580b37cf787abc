// An app: its state and replicas, how many requests it gets and how fast it answers, where its parameters come from.

import { act, at, read, repeat } from "./api.js";
import { appState, shownState } from "./apps.js";
import { chart } from "./chart.js";
import { button, copyButton, fill, h } from "./dom.js";
import { json } from "./json.js";
import { counted } from "./words.js";

const LIVE_S = 2;

export async function open({ main, params: { name }, signal }) {
  document.title = `${name} · flyte-ray`;
  const address = at("api", "apps", name);
  const [head, said, body] = [
    h("header", { class: "run-head" }),
    h("p", { class: "wrong", role: "alert" }),
    h("div", { class: "columns" }),
  ];
  const logs = h("div", {});
  let shown = "";
  const refresh = async () => {
    const app = await read(address, signal);
    const state = JSON.stringify(app);
    if (state === shown) return;
    shown = state;
    showHead(head, app, async (verb) => {
      fill(said);
      try {
        await act(`${address}/${verb}`);
        await refresh();
      } catch (error) {
        fill(said, error.message);
      }
    });
    showBody(body, app);
  };
  await refresh();
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: at("apps") }, "Apps"), " / ", name),
      head,
      said,
      body,
      h("section", { class: "part" }, h("h2", {}, "Logs"), logs),
    ),
  );
  const showLogs = async () => showLog(logs, await read(`${address}/logs`, signal).catch(() => null));
  repeat(LIVE_S, signal, () =>
    Promise.all([refresh().catch((error) => signal.aborted || fill(said, error.message)), showLogs()]),
  );
}

function showHead(head, app, tell) {
  const isOff = /deactivated|inactive|stopped/.test(String(app.state).toLowerCase());
  fill(
    head,
    h("h1", { tabindex: "-1" }, app.name),
    appState(shownState(app)),
    app.url
      ? [
          h("a", { href: app.url, target: "_blank", rel: "noopener noreferrer" }, app.url),
          copyButton(app.url, "Copy the URL"),
        ]
      : null,
    h("span", { class: "grow" }),
    h(
      "div",
      { class: "verbs" },
      isOff
        ? button("Activate", () => tell("activate"), { class: "primary" })
        : [
            button("Roll over", () => tell("refresh"), { title: "Replace its replicas one by one" }),
            button("Deactivate", () => tell("deactivate"), { class: "danger" }),
          ],
    ),
  );
}

function showBody(body, app) {
  const part = (title, ...content) => h("section", { class: "part" }, h("h2", {}, title), content);
  const { name, state, url, parameters, replicas, history, ...others } = app;
  fill(
    body,
    h("div", {}, charts(part, history), part("Replicas", replicaList(replicas))),
    h("div", {}, part("Parameters", lineage(parameters)), part("About", facts(others))),
  );
}

function charts(part, history) {
  if (!history?.length) return null;
  const of = (index) => history.map((row) => [row[0] / 1000, row[index]]);
  return [
    part("Replicas over time", chart([["replicas", of(1)]], { isStep: true })),
    part("Requests per second", chart([["requests/s", of(2)]])),
    history[0].length > 3
      ? part("Latency, ms", chart([["p50", of(3)], ...(history[0].length > 4 ? [["p95", of(4)]] : [])]))
      : null,
  ];
}

function replicaList(replicas) {
  if (replicas === undefined || replicas === null)
    return h("p", { class: "hint" }, "The cluster that serves it was not reached.");
  if (typeof replicas === "number") return h("p", {}, counted(replicas, "replica"));
  const list = Array.isArray(replicas)
    ? replicas
    : Object.entries(replicas).map(([state, count]) => ({ state, id: String(count) }));
  if (!list.length)
    return h("p", { class: "hint" }, "None at the moment: it starts with the next request, or is switched off.");
  return h(
    "table",
    { class: "plain" },
    h(
      "tbody",
      {},
      list.map((each) =>
        h(
          "tr",
          {},
          h("td", {}, appState(each.state)),
          h("td", {}, h("code", {}, each.id ?? "")),
          h("td", { class: "hint" }, each.node ?? ""),
        ),
      ),
    ),
  );
}

function lineage(parameters) {
  const all = Object.entries(parameters ?? {});
  if (!all.length) return h("p", { class: "hint" }, "None.");
  return h(
    "dl",
    { class: "facts" },
    all.map(([name, about]) => {
      const { run, action, value } =
        about && typeof about === "object" && !Array.isArray(about) ? about : { value: about };
      return [
        h("dt", {}, name),
        h(
          "dd",
          {},
          value === undefined || value === null ? null : typeof value === "object" ? json(value) : String(value),
          run
            ? [
                " from ",
                h(
                  "a",
                  { class: "id", href: action ? at("runs", run, "actions", action) : at("runs", run) },
                  action ? `${run} / ${action}` : run,
                ),
              ]
            : null,
        ),
      ];
    }),
  );
}

function facts(others) {
  const shown = Object.entries(others).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd", {}, typeof value === "object" ? json(value, 1) : String(value)),
    ]),
  );
}

function showLog(box, logs) {
  const parts = logs ?? [];
  const state = JSON.stringify(parts);
  if (box.state === state) return;
  box.state = state;
  fill(
    box,
    parts.length
      ? parts.map(({ replica, node, text }) =>
          h(
            "section",
            {},
            h("h3", { class: "id" }, [replica, node].filter(Boolean).join(" on ")),
            h("pre", { class: "text", tabindex: "0" }, text),
          ),
        )
      : h("p", { class: "hint" }, "None to be had."),
  );
}
