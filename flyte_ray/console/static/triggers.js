// Triggers: when they fire next, what the last fire started, and a switch for each.

import { act, at, query as write, read, repeat } from "./api.js";
import { fill, h, searchBox } from "./dom.js";
import { list, moveInList } from "./runs.js";
import { ago, counted, moment, until } from "./words.js";

const LIVE_S = 3;
const ON_DEMAND = "on demand";

export async function open({ main, query, signal, setQuery }) {
  document.title = "Triggers · flyte-ray";
  const search = searchBox("Search triggers, tasks", { class: "wide", value: query.get("q") ?? "" });
  const table = triggerTable({ search, signal });
  search.addEventListener("input", () => {
    setQuery({ q: search.value.trim() });
    table.draw();
  });
  await table.first;
  if (signal.aborted) return;
  fill(
    main,
    h(
      "div",
      { class: "page" },
      h("header", { class: "page-head" }, h("h1", { tabindex: "-1" }, "Triggers")),
      h("div", { class: "toolbar" }, search),
      table.element,
    ),
  );
}

/** Make a live table of the triggers of the root, or of a task; `first` resolves when it shows something. */
export function triggerTable({ task = "", search = null, signal }) {
  const rows = h("tbody");
  const said = h("p", { class: "empty", role: "status" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const columns = ["On", "Trigger", ...(task ? [] : ["Task"]), "Fires", "Next", "Last", "Runs"];
  const table = list("Triggers", columns, rows);
  let known = { triggers: [], are_fired: true };
  let shown = "";
  const draw = () => {
    const text = (search?.value ?? "").trim().toLowerCase();
    const found = known.triggers.filter((each) => `${each.task}/${each.name}`.toLowerCase().includes(text));
    const state = JSON.stringify([found, Math.floor(Date.now() / 10_000)]);
    if (state === shown) return;
    shown = state;
    const focused = rows.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.trigger : null;
    const kind = focused && document.activeElement.matches("[role=switch]") ? "[role=switch]" : "a";
    fill(
      rows,
      found.map((each) => rowOf(each, !task, flip)),
    );
    if (focused)
      [...rows.children]
        .find((row) => row.dataset.trigger === focused)
        ?.querySelector(kind)
        ?.focus({ preventScroll: true });
    table.hidden = !known.triggers.length;
    fill(said, sentence(found.length));
  };
  const sentence = (count) => {
    if (!known.triggers.length)
      return task ? "None. flyte-ray create trigger makes one." : "No triggers. flyte-ray create trigger makes one.";
    const fired = known.are_fired ? "" : " They fire while a lasting cluster has a ledger of this root.";
    return `${counted(count, "trigger")}.${fired}`;
  };
  const refresh = async () => {
    known = await read(at("api", "triggers") + write({ task }), signal);
    draw();
  };
  const flip = async (trigger) => {
    fill(wrong);
    try {
      await act(at("api", "triggers", trigger.task, trigger.name, trigger.active ? "deactivate" : "activate"));
      await refresh();
    } catch (error) {
      fill(wrong, error.message);
    }
  };
  addEventListener("keydown", (event) => !task && moveInList(event, rows), { signal });
  const first = refresh();
  const live = () => repeat(LIVE_S, signal, () => refresh().catch((error) => signal.aborted || fill(said, error.message)));
  first.then(live, (error) => signal.aborted || fill(said, error.message));
  return { element: h("div", { class: "triggers" }, wrong, table, said), draw, first };
}

function rowOf(trigger, withTask, flip) {
  const { active, description, error, fires, last_run, last_us, name, next_us, runs, task } = trigger;
  const onOff = fires !== ON_DEMAND && h("button", {
    type: "button",
    class: "switch",
    role: "switch",
    "aria-checked": String(active),
    "aria-label": `${name} of ${task}`,
    title: active ? "Switch it off" : "Switch it on",
    on: { click: () => flip(trigger) },
  });
  return h(
    "tr",
    { "data-trigger": `${task}/${name}` },
    h("td", { class: "on" }, onOff),
    h(
      "td",
      {},
      withTask
        ? h("a", { class: "row-link", href: at("tasks", task), title: description }, name)
        : h("b", { title: description }, name),
      description ? h("span", { class: "hint origin" }, description) : null,
    ),
    withTask ? h("td", { class: "task" }, task) : null,
    h("td", { class: "schedule" }, schedule(fires)),
    h("td", { class: "next", title: next_us.map(moment).join("\n") }, next(trigger)),
    h(
      "td",
      { class: "last" },
      last_us ? h("span", { title: moment(last_us) }, `${ago(last_us)} `) : "",
      last_run ? h("a", { class: "id", href: at("runs", last_run) }, last_run) : null,
      error ? h("span", { class: "wrong origin" }, error) : null,
    ),
    h("td", { class: "minor" }, h("a", { href: at("") + write({ text: runs }) }, "its runs"), left(trigger)),
  );
}

/** Write a schedule; a cron's zone stands behind it. */
function schedule(fires) {
  const [, zone, fields] = fires.match(/^CRON_TZ=(\S+) (.+)$/) ?? [];
  return fields ? [h("code", {}, fields), h("span", { class: "hint" }, ` ${zone}`)] : fires;
}

/** Say when it fires next; moments are in the reader's zone. */
function next({ active, fires, next_us }) {
  if (next_us.length) return [moment(next_us[0]), h("span", { class: "hint" }, ` ${until(next_us[0])}`)];
  return h("span", { class: "hint" }, !active ? "off" : fires === ON_DEMAND ? "" : "never again");
}

/** Say how many fires wait, or were left out. */
function left({ overlap, skipped, waiting }) {
  const said = [waiting ? `${waiting} wait` : "", skipped ? `${skipped} left out` : ""].filter(Boolean).join(", ");
  return said ? h("span", { class: "hint", title: `overlap: ${overlap}` }, ` ${said}`) : null;
}
