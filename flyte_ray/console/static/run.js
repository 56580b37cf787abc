// A run: what it is, what one may do, and the tree of its actions beside their time.

import { at, follow, query as write, read, repeat } from "./api.js";
import * as acting from "./acting.js";
import { button, fill, h, isTyping, searchBox } from "./dom.js";
import { Outline, SHOWN } from "./outline.js";
import { hasEnded } from "./phase.js";
import { failure, showFacts, showHead } from "./summary.js";
import { Table } from "./table.js";
import { timeline } from "./timeline.js";
import { Timescale } from "./timescale.js";
import { TreeView } from "./treeview.js";
import { values } from "./values.js";
import { count, duration, shortTask } from "./words.js";

const ROOT = "a0";

export async function open(context) {
  const { main, params, signal } = context;
  document.title = `${params.run} · flyte-ray`;
  document.body.className = "fills";
  const [run, sent] = await Promise.all([
    read(at("api", "runs", params.run), signal),
    read(`${at("api", "runs", params.run)}/table`, signal),
  ]);
  if (signal.aborted) return;
  new RunPage(context, run, sent);
}

class RunPage {
  constructor(context, run, sent) {
    Object.assign(this, { context, run });
    this.table = new Table(sent);
    this.outline = new Outline(this.table);
    this.scale = new Timescale();
    this.parts = {
      head: h("header", { class: "run-head" }),
      facts: h("div", { class: "facts-line" }),
      counts: h("div", { class: "run-counts" }),
      notices: h("div", { class: "notices" }),
      path: h("span", { class: "path" }),
      found: h("span", { class: "hint", role: "status" }),
      live: h("span", { class: "live-state hint", role: "status" }),
    };
    this.failure = -1;
    this.questions = new Map(); // boxes by the condition's action
    this.lay();
    this.showRun(run);
    this.showNotices();
    this.begin();
  }

  get name() {
    return this.run.name;
  }

  now() {
    const { run } = this;
    const end = hasEnded(run.phase) || run.hold?.is_cut_off ? null : Date.now() - run.started_us / 1000;
    return end === null ? this.table.last() : Math.max(end, this.table.last());
  }

  lay() {
    const { main, query, signal } = this.context;
    const { parts } = this;
    const box = h("div", { class: "tree", role: "tree", tabindex: "0", "aria-label": `Actions of ${this.name}` });
    this.outline.choose({
      text: query.get("q") ?? "",
      show: SHOWN.includes(query.get("show")) ? query.get("show") : "all",
    });
    this.axis = timeline(this.scale, { onChange: () => this.view.scroller.refresh(), signal });
    fill(
      main,
      h(
        "div",
        { class: "page run" },
        parts.head,
        parts.facts,
        parts.notices,
        this.values(),
        this.toolbar(query),
        h(
          "div",
          { class: "tree-head" },
          h("div", { class: "tree-cell hint" }, "Action", parts.found, parts.path),
          this.axis.element,
        ),
        box,
      ),
    );
    this.view = new TreeView(box, {
      outline: this.outline,
      scale: this.scale,
      now: () => this.now(),
      signal,
      onOpen: (row) => this.context.go(at("runs", this.name, "actions", this.table.id[row])),
      onMove: (line) => {
        this.context.setQuery({ at: this.table.id[line] ?? "" }); // of a group or a trace there is no id
        fill(this.parts.path, this.outline.namesAbove(line).map(shortTask).join(" / "));
      },
    });
    this.box = box;
    this.rescale();
    const row = this.table.rowOf.get(query.get("at"));
    if (row !== undefined) this.view.show(row);
    this.tellFound();
    addEventListener("keydown", (event) => this.press(event), { signal });
  }

  toolbar(query) {
    const search = searchBox("Search tasks, groups, ids", { class: "wide", value: query.get("q") ?? "" });
    search.addEventListener("input", () => this.choose({ text: search.value }));
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown") this.box.focus();
      else if (event.key === "Escape") this.choose({ text: (search.value = "") });
      else return;
      event.preventDefault();
    });
    const names = { all: "All", failed: "Failed", running: "Not ended", critical: "Critical path" };
    this.shows = SHOWN.map((show) =>
      button(names[show], () => this.choose({ show }), {
        "data-show": show,
        "aria-pressed": String(this.outline.filter.show === show),
      }),
    );
    this.jump = button("", () => this.toFailure(1), { class: "jump", title: "Next failure (f)" });
    return h(
      "div",
      { class: "toolbar" },
      search,
      h("div", { class: "segments", role: "group", "aria-label": "Show" }, this.shows),
      this.jump,
      h("span", { class: "grow" }),
      this.parts.live,
      button("Fold all", () => this.arrange("foldAll"), { class: "quiet" }),
      button("Unfold all", () => this.arrange("unfoldAll"), { class: "quiet" }),
    );
  }

  /** Choose what is shown, and write it into the address. */
  choose(filter) {
    this.outline.choose(filter);
    const { text, show } = this.outline.filter;
    this.context.setQuery({ q: text.trim(), show: show === "all" ? "" : show });
    for (const each of this.shows) each.setAttribute("aria-pressed", String(each.dataset.show === show));
    this.view.redraw({ reveal: true });
    this.tellFound();
  }

  arrange(how) {
    this.outline[how]();
    this.view.redraw();
  }

  tellFound() {
    const { text, show } = this.outline.filter;
    fill(
      this.parts.found,
      text.trim() || show !== "all"
        ? `${count(this.outline.found)} of ${count(this.table.length)}`
        : count(this.table.length),
    );
    const failures = this.outline.failures();
    this.jump.hidden = !failures.length;
    fill(
      this.jump,
      this.failure < 0
        ? `First failure (of ${count(failures.length)})`
        : `Next failure (${count(this.failure + 1)} of ${count(failures.length)})`,
    );
  }

  toFailure(by) {
    const failures = this.outline.failures();
    if (!failures.length) return;
    this.failure = this.failure < 0 ? 0 : (this.failure + by + failures.length) % failures.length;
    if (!this.view.show(failures[this.failure])) {
      this.choose({ text: "", show: "all" });
      this.view.show(failures[this.failure]);
    }
    this.box.focus({ preventScroll: true });
    this.tellFound();
  }

  press(event) {
    if (isTyping(event)) return;
    if (event.key === "f") this.toFailure(1);
    else if (event.key === "F") this.toFailure(-1);
    else if (["+", "="].includes(event.key)) this.axis.zoom(0.5);
    else if (event.key === "-") this.axis.zoom(2);
    else if (event.key === "0") this.axis.whole();
    else return;
    event.preventDefault();
  }

  rescale() {
    this.scale.extend(this.now() * 1.02);
    this.axis.draw();
  }

  showRun(run) {
    this.run = { ...this.run, ...run };
    showHead(this.parts.head, this.run, this.verbs());
    showFacts(this.parts.facts, this.run);
  }

  verbs() {
    const can = new Set(this.run.can ?? []);
    const started = (answer) => answer?.run && this.context.go(at("runs", answer.run));
    const again = (recover) => async () =>
      started(await acting.rerun(this.name, { ...(await this.startedWith()), recover }));
    return h(
      "div",
      { class: "verbs" },
      can.has("rerun") ? button("Rerun", again(false)) : null,
      can.has("recover") ? button("Recover", again(true), { title: "A new run that keeps what succeeded" }) : null,
      can.has("resume")
        ? button("Resume", async () => (await acting.resume(this.name)) && this.restart(), { class: "primary" })
        : null,
      can.has("abort") ? button("Abort", () => acting.abort(this.name), { class: "danger" }) : null,
    );
  }

  /** What can be done changes with how the run stands, and events do not tell it. */
  async renewVerbs() {
    const { signal } = this.context;
    const run = await read(at("api", "runs", this.name), signal).catch(() => null);
    if (run && !signal.aborted) this.showRun(run);
  }

  /** What the run was started with, for the form. */
  async startedWith() {
    const root = await read(at("api", "runs", this.name, "actions", ROOT), this.context.signal);
    return acting.startedWith(root.inputs, this.run.inputs_schema);
  }

  /** Open the page anew: a resumed run has a new life. */
  restart() {
    this.context.go(location.href);
  }

  values() {
    const body = h("div", { class: "root-values" });
    const fold = h("details", { class: "io" }, h("summary", {}, "Inputs and outputs"), body);
    fold.addEventListener("toggle", async () => {
      if (!fold.open || body.childElementCount) return;
      const { signal } = this.context;
      const root = await read(at("api", "runs", this.name, "actions", ROOT), signal);
      fill(
        body,
        ["inputs", "outputs"].map((side) =>
          h(
            "section",
            {},
            h("h2", {}, side === "inputs" ? "Inputs" : "Outputs"),
            values(this.name, ROOT, side, root[side], signal),
          ),
        ),
      );
    });
    return fold;
  }

  async showNotices() {
    const { signal } = this.context;
    const { run } = this;
    const waiting = (this.waiting = this.paused());
    const notices = [];
    if (["failed", "timed_out", "aborted"].includes(run.phase)) {
      const root = await read(at("api", "runs", run.name, "actions", ROOT), signal).catch(() => null);
      const error = root?.error;
      if (error) notices.push(failure(run.name, typeof error === "string" ? { message: error } : error));
    } else if (waiting) {
      const asked = await read(`${at("api", "runs", run.name)}/conditions`, signal).catch(() => []);
      notices.push(...asked.filter((each) => each.phase === "paused").map((each) => this.question(each)));
    }
    if (!signal.aborted && waiting === this.waiting) fill(this.parts.notices, notices);
  }

  /** Name the actions that wait for an answer: as many may be others. */
  paused() {
    return this.table.id.filter((_, row) => this.table.phaseOf(row) === "paused").join(" ");
  }

  /** The box of a question; while others come and go it keeps what was typed. */
  question(condition) {
    const { action_name: id } = condition;
    if (!this.questions.has(id)) this.questions.set(id, acting.question(this.name, condition));
    return this.questions.get(id);
  }

  begin() {
    const { signal } = this.context;
    if (hasEnded(this.run.phase) && hasEnded(this.table.phaseOf(0))) return; // the tree may be read a moment before
    const changed = (run) => {
      const before = this.run;
      this.showRun(run);
      if (before.phase !== run.phase || before.hold?.is_cut_off !== run.hold?.is_cut_off) this.renewVerbs();
      if (before.phase !== run.phase || this.paused() !== this.waiting) this.showNotices();
    };
    follow(
      `${at("api", "runs", this.name)}/changes${write({ after: this.table.position })}`,
      {
        rows: (changes) => this.take(changes),
        run: changed,
        end: (run) => {
          changed(run);
          this.ended = true;
          fill(this.parts.live, "ended");
          this.rescale();
          this.view.redraw();
        },
      },
      signal,
      (isConnected, refusal) =>
        !this.ended && fill(this.parts.live, isConnected ? "live" : (refusal ?? "connecting …")),
    );
    repeat(0.5, signal, () => {
      if (this.ended) return;
      this.rescale();
      this.view.scroller.refresh();
      this.showTime();
    });
  }

  showTime() {
    const shown = this.parts.facts.querySelector("[data-fact='Runs for'] dd");
    if (shown) fill(shown, duration(Date.now() - this.run.started_us / 1000));
  }

  take(changes) {
    const stood = this.outline.lines[this.view.at];
    this.outline.change(this.table.apply(changes));
    this.rescale();
    const index = this.outline.lines.indexOf(stood);
    if (index >= 0) this.view.at = index;
    this.view.redraw();
    this.tellFound();
  }
}
