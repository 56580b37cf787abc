// Draw the tree of a run beside its timeline, line by line, and move in it by keyboard and pointer.

import { GROUP, TRACE } from "./outline.js";
import { fill, h, icon } from "./dom.js";
import { hasEnded, isBad, phaseCounts, phaseIcon, setPhaseIcon } from "./phase.js";
import { Scroller } from "./scroller.js";
import { count, duration, shortId, shortTask } from "./words.js";

const [ROW, ROW_NARROW] = [26, 34]; // where it is narrow, the bar stands below the words
const NARROW = "(max-width: 760px)";
const TWISTY = "M4.5 2.5 8 6 4.5 9.5";
const STEP = "M3 6h6";

export class TreeView {
  /**
   * @param box the element that scrolls
   * @param outline which lines there are
   * @param scale which time is shown
   * @param onOpen is told the row that is to be opened
   * @param onMove is told the line on which one stands
   */
  constructor(box, { outline, scale, now, onOpen, onMove, signal }) {
    Object.assign(this, { box, outline, scale, now, onOpen, onMove, at: 0 });
    this.scroller = new Scroller(box, {
      rowHeight: matchMedia(NARROW).matches ? ROW_NARROW : ROW,
      signal,
      make: (slot) => makeRow(slot),
      fill: (row, index) => this.fill(row, index),
    });
    box.addEventListener("keydown", (event) => this.press(event), { signal });
    box.addEventListener("click", (event) => this.click(event), { signal });
    box.addEventListener("dblclick", (event) => this.doubleClick(event), { signal });
    this.redraw();
  }

  /** Draw the lines that there are now; who stands on one that is still there stays on it. */
  redraw({ reveal = false } = {}) {
    this.scroller.reset(this.outline.lines.length);
    const index = this.outline.lines.indexOf(this.line ?? -1);
    this.at = index >= 0 ? index : Math.min(this.at, Math.max(0, this.outline.lines.length - 1));
    if (reveal && index >= 0) this.scroller.reveal(index);
    this.mark();
  }

  /** Stand on a line. */
  stand(index, { reveal = true } = {}) {
    this.at = Math.max(0, Math.min(index, this.outline.lines.length - 1));
    if (reveal) this.scroller.reveal(this.at);
    this.scroller.refresh();
    this.scroller.draw();
    this.mark();
    this.line = this.outline.lines[this.at];
    this.onMove(this.line);
  }

  mark() {
    requestAnimationFrame(() => {
      const row = this.scroller.rows.length ? this.scroller.rowOf(this.at) : null;
      if (row) this.box.setAttribute("aria-activedescendant", row.element.id);
      else this.box.removeAttribute("aria-activedescendant");
    });
  }

  /** Unfold down to a row and stand on it. */
  show(row) {
    const index = this.outline.reveal(row);
    this.redraw();
    if (index >= 0) this.stand(index);
    return index >= 0;
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const line = this.outline.lines[this.at];
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.scroller.rowHeight) - 1);
    const moves = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key in moves) this.stand(this.at + moves[event.key]);
    else if (event.key === "ArrowRight") this.unfold(line);
    else if (event.key === "ArrowLeft") this.fold(line);
    else if (event.key === " ") this.toggle(this.at);
    else if (event.key === "Enter") this.openLine(line);
    else return;
    event.preventDefault();
  }

  unfold(line) {
    if (!this.outline.isOpen(line)) this.toggle(this.at);
    else if (this.outline.below(line).length) this.stand(this.at + 1);
  }

  fold(line) {
    if (this.outline.isOpen(line) && this.outline.below(line).length) this.toggle(this.at);
    else if (this.outline.above(line) >= 0) this.stand(this.outline.lines.indexOf(this.outline.above(line)));
  }

  toggle(index) {
    if (!this.outline.toggle(this.outline.lines[index])) return;
    this.redraw();
    this.stand(index);
  }

  openLine(line) {
    if (line >= TRACE) this.onOpen(this.outline.steps[line - TRACE][0]);
    else if (line >= GROUP) this.toggle(this.at);
    else this.onOpen(line);
  }

  click(event) {
    const index = this.indexAt(event);
    if (index === null) return;
    const onTwisty = event.target.closest(".twisty");
    const onName = event.target.closest(".name");
    this.stand(index, { reveal: false });
    if (onTwisty) this.toggle(index);
    else if (onName) this.openLine(this.outline.lines[index]);
  }

  doubleClick(event) {
    const index = this.indexAt(event);
    if (index !== null && !event.target.closest(".twisty, .name")) this.openLine(this.outline.lines[index]);
  }

  indexAt(event) {
    const element = event.target.closest("[role=treeitem]");
    const slot = this.scroller.rows.findIndex((row) => row.element === element);
    return slot < 0 ? null : this.scroller.shown[slot];
  }

  fill(row, index) {
    const line = this.outline.lines[index];
    const below = this.outline.below(line).length;
    const isOpen = below && this.outline.isOpen(line);
    put(row.element, "aria-level", String(this.outline.depths[index] + 1));
    put(row.element, "aria-selected", String(index === this.at));
    put(row.element, "aria-expanded", below ? String(Boolean(isOpen)) : null);
    if (row.depth !== this.outline.depths[index]) {
      row.depth = this.outline.depths[index];
      row.tree.style.setProperty("--depth", row.depth);
    }
    row.twisty.classList.toggle("bare", !below);
    row.wait.hidden = row.run.hidden = true;
    if (row.past.childElementCount) row.past.replaceChildren();
    row.element.classList.remove("critical", "dim");
    if (line >= TRACE) this.fillStep(row, line - TRACE);
    else if (line >= GROUP) this.fillGroup(row, this.outline.groups[line - GROUP]);
    else this.fillAction(row, line);
  }

  fillAction(row, action) {
    const { table } = this.outline;
    const phase = table.phaseOf(action);
    const [queued, started, ended] = [table.queued[action], table.started[action], table.ended[action]];
    setPhaseIcon(row.icon, phase);
    say(row.name, shortTask(table.taskOf(action)));
    put(row.name, "title", table.taskOf(action));
    say(row.id, shortId(table.id[action]));
    put(row.id, "title", table.id[action]);
    const notes = [];
    if (table.cached.has(action)) notes.push("cached");
    if (table.attempts[action] > 1) notes.push(`${table.attempts[action]} attempts`);
    const isCritical = table.critical.has(action);
    say(row.note, notes.join(" · "));
    row.element.classList.toggle("critical", isCritical);
    row.element.classList.toggle("dim", Boolean(this.outline.kept) && this.outline.kept[action] === 1);
    const end = ended >= 0 ? ended : this.now();
    const ran = started >= 0 ? end - started : null;
    say(row.length, ran === null ? "" : duration(ran));
    row.element.setAttribute(
      "aria-label",
      [
        table.taskOf(action),
        table.id[action],
        phase.replaceAll("_", " "),
        ran === null ? "" : duration(ran),
        isCritical ? "on the critical path" : "",
        ...notes,
      ]
        .filter(Boolean)
        .join(", "),
    );
    for (const attempt of table.earlier.get(action) ?? []) this.placePast(row, attempt);
    if (queued >= 0 && !table.cached.has(action)) this.place(row.wait, queued, started >= 0 ? started : end, "wait");
    if (table.cached.has(action) && ended >= 0) this.place(row.run, ended, ended, "run phase-recovered");
    else if (started >= 0) this.place(row.run, started, end, `run phase-${phase}`);
    if (!hasEnded(phase) && started >= 0) row.run.classList.add("live");
  }

  fillGroup(row, group) {
    const { table } = this.outline;
    const counts = {};
    for (const [phase, number] of group.counts) counts[table.phases[phase]] = number;
    const phase =
      Object.keys(counts).find((name) => counts[name] && isBad(name)) ??
      Object.keys(counts).find((name) => counts[name] && !hasEnded(name)) ??
      Object.keys(counts).find((name) => counts[name] === group.members.length) ??
      "succeeded";
    setPhaseIcon(row.icon, phase);
    say(row.name, group.name || "(group)");
    put(row.name, "title", group.name);
    say(row.id, `× ${count(group.members.length)}`);
    fill(row.note, group.members.length === counts[phase] ? null : phaseCounts(counts, { bar: false }));
    const { from, to } = spanOf(table, group, this.now());
    say(row.length, to > from ? duration(to - from) : "");
    row.element.setAttribute(
      "aria-label",
      `group ${group.name}, ${count(group.members.length)} actions, ${Object.entries(counts)
        .filter(([, number]) => number)
        .map(([name, number]) => `${count(number)} ${name.replaceAll("_", " ")}`)
        .join(", ")}`,
    );
    if (to > from) this.place(row.run, from, to, "run group");
  }

  fillStep(row, number) {
    const [action, step] = this.outline.steps[number];
    const [name, seconds, ok] = this.outline.table.traces.get(action)[step];
    row.icon.phase = null;
    row.icon.setAttribute("class", `icon ${ok ? "step" : "phase-failed"}`);
    row.icon.firstChild.setAttribute("d", STEP);
    say(row.name, name);
    put(row.name, "title", name);
    say(row.id, "trace");
    say(row.note, ok ? "" : "failed");
    say(row.length, duration(seconds * 1000));
    row.element.setAttribute("aria-label", `trace ${name}, ${duration(seconds * 1000)}${ok ? "" : ", failed"}`);
  }

  placePast(row, [queued, started, ended, outcome]) {
    const [wait, run] = [h("i", { hidden: true }), h("i", { hidden: true })];
    if (started > queued) this.place(wait, queued, started, "wait");
    this.place(run, started, ended, `run past phase-${outcome === "lost" ? "aborted" : "failed"}`);
    row.past.append(wait, run);
  }

  place(bar, from, to, kind) {
    const left = this.scale.shareOf(from);
    const right = this.scale.shareOf(to);
    if (right < 0 || left > 1) return;
    bar.hidden = false;
    bar.className = kind;
    const start = Math.max(0, left);
    bar.style.left = `${start * 100}%`;
    bar.style.width = `${(Math.min(1, right) - start) * 100}%`;
  }
}

/** Set an attribute that has another value: to set one costs, whatever it was. */
function put(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** Write a text in the place of another one, in the same node. */
function say(element, text) {
  if (element.firstChild?.nodeType !== Node.TEXT_NODE || element.childNodes.length !== 1) element.textContent = text;
  else if (element.firstChild.data !== text) element.firstChild.data = text;
}

function spanOf(table, group, now) {
  const known = group.span;
  if (known && known.size === group.members.length && known.done) return known;
  let from = Infinity;
  let to = 0;
  let done = true;
  for (const row of group.members) {
    if (table.started[row] < 0) {
      done &&= table.ended[row] >= 0;
      continue;
    }
    from = Math.min(from, table.started[row]);
    to = Math.max(to, table.ended[row] >= 0 ? table.ended[row] : now);
    done &&= table.ended[row] >= 0;
  }
  group.span = { from, to, done, size: group.members.length };
  return group.span;
}

function makeRow(slot) {
  const [wait, run] = [h("i", { class: "wait" }), h("i", { class: "run" })];
  const parts = {
    twisty: h("span", { class: "twisty" }, icon(TWISTY)),
    icon: phaseIcon("queued"),
    name: h("span", { class: "name" }),
    id: h("span", { class: "id" }),
    note: h("span", { class: "note" }),
    length: h("span", { class: "length" }),
  };
  const tree = h("div", { class: "tree-cell" }, Object.values(parts));
  const past = h("span");
  const time = h("div", { class: "time-cell", "aria-hidden": "true" }, past, wait, run);
  const element = h("div", { class: "line", role: "treeitem", id: `line-${slot}` }, tree, time);
  return { element, tree, past, wait, run, ...parts };
}
