// An action: what it got and gave, where its time went, what it printed and reported, why it failed, its code.

import * as acting from "./acting.js";
import { at, query as write, read, repeat } from "./api.js";
import { attemptPicker, attempts } from "./attempts.js";
import { button, fill, h } from "./dom.js";
import { log } from "./log.js";
import { hasEnded, phaseBadge } from "./phase.js";
import { cacheUse, code, debugLine, environment, events, traceback, traces } from "./record.js";
import { failure } from "./summary.js";
import { tabs } from "./tabs.js";
import { values } from "./values.js";
import { counted, duration, moment, shortId } from "./words.js";

const LIVE_S = 1;
const TABS = ["Summary", "Logs", "Report", "Code", "Events"];

export async function open(context) {
  const {
    main,
    params: { run, action: id },
    signal,
  } = context;
  document.title = `${id} · ${run} · flyte-ray`;
  const address = at("api", "runs", run, "actions", id);
  const found = await read(address, signal);
  if (signal.aborted) return;
  const page = new ActionPage(context, address, found);
  fill(main, page.element);
  repeat(LIVE_S, signal, async () => {
    if (hasEnded(page.action.phase) || signal.aborted) return;
    page.show(await read(address, signal).catch(() => page.action));
  });
}

const attemptsOf = (action) => action.attempt_list.map((each) => each.attempt);

class ActionPage {
  constructor(context, address, action) {
    Object.assign(this, { context, address, action });
    this.drawn = new Map();
    this.head = h("header", { class: "run-head" });
    this.facts = h("div", { class: "facts-line" });
    this.parts = Object.fromEntries(
      ["notices", "inputs", "outputs", "attempts", "cache", "steps", "environment", "debug"].map((name) => [
        name,
        h("div"),
      ]),
    );
    this.tabs = tabs(TABS, {
      label: "Parts of the action",
      chosen: context.query.get("tab"),
      show: (name, panel, signal) => this.showTab(name, panel, signal),
      onChoose: (name) => context.setQuery({ tab: name === TABS[0] ? "" : name.toLowerCase() }),
      signal: context.signal,
    });
    this.element = h(
      "div",
      { class: "page action" },
      this.crumbs(),
      this.head,
      this.facts,
      this.parts.notices,
      this.tabs.element,
    );
    this.show(action);
  }

  get run() {
    return this.context.params.run;
  }

  link(id, text = id) {
    return h("a", { class: "id", href: at("runs", this.run, "actions", id) }, text);
  }

  crumbs() {
    const { action } = this;
    return h(
      "nav",
      { class: "crumbs", "aria-label": "Where this is" },
      h("a", { class: "id", href: at("runs", this.run) + write({ at: action.id }) }, this.run),
      " / ",
      action.parent ? [this.link(action.parent, shortId(action.parent)), " / "] : null,
      action.group ? `${action.group} / ` : null,
      h("span", { class: "id" }, shortId(action.id)),
    );
  }

  show(action) {
    const last = this.action;
    this.action = action;
    this.part("head", [action.phase, action.task, action.can], () => this.showHead());
    this.part("facts", [action.phase, action.started_us, action.ended_us, action.attempts, action.cache], () =>
      this.showFacts(),
    );
    this.part("notices", [action.error, action.conditions, action.phase], () => this.showNotices());
    for (const side of ["inputs", "outputs"])
      this.part(side, action[side], () =>
        fill(this.parts[side], values(this.run, action.id, side, action[side], this.context.signal)),
      );
    this.part("attempts", [action.attempt_list, action.waits, hasEnded(action.phase) || Date.now()], () =>
      fill(this.parts.attempts, this.waits(), attempts(action)),
    );
    this.part("steps", action.steps, () => fill(this.parts.steps, traces(action.steps)));
    this.part("environment", action.environment, () => fill(this.parts.environment, environment(action.environment)));
    this.part("cache", action.cache, () => fill(this.parts.cache, cacheUse(action.cache)));
    this.part("debug", action.debug_line, () => fill(this.parts.debug, debugLine(action.debug_line)));
    this.tabs.mark({ Report: action.reports?.length ? counted(action.reports.length, "report") : null, Logs: null });
    const shown = { Logs: attemptsOf, Events: (each) => each.events, Report: (each) => each.reports }[this.tabs.chosen()];
    if (shown && JSON.stringify(shown(last)) !== JSON.stringify(shown(action))) this.tabs.renew();
  }

  /** Draw a part anew if what it shows has changed. */
  part(name, state, draw) {
    const written = JSON.stringify(state) ?? "";
    if (this.drawn.get(name) === written) return;
    this.drawn.set(name, written);
    draw();
  }

  showHead() {
    const { action } = this;
    const can = new Set(action.can ?? (hasEnded(action.phase) ? ["rerun"] : ["abort"]));
    const again = async () => {
      const answer = await acting.rerun(this.run, {
        ...acting.startedWith(action.inputs, action.inputs_schema),
        action: action.id,
        task: action.task,
      });
      if (answer?.run) this.context.go(at("runs", answer.run));
    };
    fill(
      this.head,
      h("h1", { tabindex: "-1" }, action.task),
      phaseBadge(action.phase),
      h("span", { class: "grow" }),
      h(
        "div",
        { class: "verbs" },
        can.has("rerun") ? button("Rerun this action", again) : null,
        can.has("abort") ? button("Abort", () => acting.abort(this.run, action), { class: "danger" }) : null,
      ),
    );
  }

  showFacts() {
    const { action } = this;
    const ran = action.started_us && action.ended_us ? duration((action.ended_us - action.started_us) / 1000) : "";
    fill(
      this.facts,
      [
        ["Action", h("code", {}, action.id)],
        ["Started", moment(action.started_us)],
        ["Ran", ran],
        ["Attempts", action.attempts ? String(action.attempts) : ""],
        ["Group", action.group],
        ["Cache", action.cache && { hit: "hit", kept: "kept", asked: "asked" }[action.cache.status]],
        ["Aborted by", action.aborted_by],
      ]
        .filter(([, value]) => value)
        .map(([name, value]) => h("dl", { class: "fact" }, h("dt", {}, name), h("dd", {}, value))),
    );
  }

  showNotices() {
    const { action } = this;
    const error = action.error && (typeof action.error === "string" ? { message: action.error } : action.error);
    fill(
      this.parts.notices,
      error ? [failure(this.run, error), error.traceback ? traceback(error.traceback) : null] : null,
    );
    if (!hasEnded(action.phase) && action.conditions?.length) this.ask();
    this.parts.notices.className = "notices";
  }

  /** Show the questions that it put and that wait for an answer. */
  async ask() {
    const { action, context, run } = this;
    const all = await read(at("api", "runs", run, "conditions"), context.signal).catch(() => []);
    const asked = all.filter((each) => each.phase === "paused" && action.conditions.includes(each.action_name));
    fill(
      this.parts.notices,
      asked.map((each) => acting.question(run, each)),
    );
  }

  showTab(name, panel, signal) {
    const { action } = this;
    switch (name) {
      case "Logs":
        return this.showLogs(panel, signal);
      case "Report":
        return fill(panel, this.report());
      case "Code":
        fill(panel, code(action.code));
        return panel.querySelector(".failing")?.scrollIntoView({ block: "center" });
      case "Events":
        return fill(panel, events(action.events));
      default:
        return fill(panel, this.summary());
    }
  }

  summary() {
    const part = (title, ...content) => h("section", { class: "part" }, h("h2", {}, title), content);
    const { parts } = this;
    return h(
      "div",
      { class: "columns" },
      h("div", {}, part("Inputs", parts.inputs), part("Outputs", parts.outputs)),
      h(
        "div",
        {},
        part("Where the time went", parts.attempts),
        part("Traces", parts.steps),
        part("Cache", parts.cache),
        part("Environment", parts.environment),
        part("Run it again here", parts.debug),
      ),
    );
  }

  showLogs(panel, signal, attempt) {
    const attempts = attemptsOf(this.action);
    fill(
      panel,
      log(`${this.address}/logs`, {
        attempts,
        attempt: attempt ?? attempts.at(-1) ?? 0,
        isLive: !hasEnded(this.action.phase),
        signal,
        onAttempt: (number) => this.showLogs(panel, signal, number),
      }),
    );
  }

  report() {
    const attempts = this.action.reports ?? [];
    if (!attempts.length)
      return h(
        "p",
        { class: "hint" },
        hasEnded(this.action.phase) ? "It has no report: a task with report=True makes one." : "No report yet.",
      );
    const frame = h("iframe", {
      class: "report",
      sandbox: "allow-scripts",
      title: `Report of ${this.action.id}`,
      referrerpolicy: "no-referrer",
    });
    // The one chosen stays when another report arrives.
    if (!attempts.includes(this.reported)) this.reported = attempts.at(-1);
    const alone = h("a", { target: "_blank", rel: "noopener noreferrer" }, "Open alone");
    const show = (attempt) => {
      this.reported = attempt;
      const href = `${this.address}/report${write({ attempt })}`;
      frame.setAttribute("src", href);
      alone.setAttribute("href", href);
    };
    show(this.reported);
    const picker = attemptPicker(attempts, this.reported, show);
    const again = button("Reload", () => show(this.reported), { class: "quiet" });
    return [h("div", { class: "toolbar" }, picker, again, alone), frame];
  }

  /** Say for what it waits at the moment. */
  waits() {
    return (this.action.waits ?? []).map(({ text, until_us, actions }) =>
      h(
        "p",
        { class: "waits" },
        `Waits ${text}`,
        until_us ? `, at ${moment(until_us)}` : "",
        actions?.length ? [": ", actions.map((id, index) => [index ? ", " : "", this.link(id, shortId(id))])] : null,
      ),
    );
  }
}
