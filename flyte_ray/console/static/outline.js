// Decide which lines of a run's tree are shown, and how deep: actions, groups, traces.
//
// Pure: knows the table and no page. A line is a number: an action's row, or `GROUP + n`, or `TRACE + n`.

export const GROUP = 2 ** 29;
export const TRACE = 2 ** 30;

/** What of a tree is shown. */
export const SHOWN = ["all", "failed", "running", "critical"];

export class Outline {
  constructor(table) {
    this.table = table;
    this.children = []; // lines below each row
    this.tops = [];
    this.groups = []; // {parent, name, members, counts}, and `span` where its time was computed
    this.groupAt = new Map();
    this.steps = []; // [row, number of the step]
    this.withSteps = new Map(); // how many steps of a row are among the lines
    this.folded = new Set(); // rows
    this.unfolded = new Set(); // groups
    this.filter = { text: "", show: "all" };
    this.lines = [];
    this.depths = [];
    for (let row = 0; row < table.length; row += 1) this.add(row);
    for (const row of table.traces.keys()) this.addSteps(row);
    this.arrange();
  }

  /** Take in what `Table.apply` tells. */
  change(changed) {
    for (const [row, before] of changed) {
      if (before === null) this.add(row);
      else this.recount(row, before);
    }
    for (const row of this.table.traces.keys()) this.addSteps(row);
    this.arrange();
  }

  add(row) {
    const { table } = this;
    const parent = table.parent[row];
    this.children[row] ??= [];
    const siblings = parent < 0 ? this.tops : (this.children[parent] ??= []);
    if (table.group[row] < 0) {
      siblings.push(row);
      return;
    }
    const key = `${parent}/${table.group[row]}`;
    let number = this.groupAt.get(key);
    if (number === undefined) {
      number = this.groups.length;
      this.groupAt.set(key, number);
      this.groups.push({ parent, name: table.groupOf(row), members: [], counts: new Map() });
      siblings.push(GROUP + number);
    }
    const { members, counts } = this.groups[number];
    members.push(row);
    counts.set(table.phase[row], (counts.get(table.phase[row]) ?? 0) + 1);
  }

  recount(row, before) {
    const { table } = this;
    const number = this.groupAt.get(`${table.parent[row]}/${table.group[row]}`);
    if (number === undefined) return;
    const { counts } = this.groups[number];
    this.groups[number].span = null;
    if (before === table.phase[row]) return;
    counts.set(before, counts.get(before) - 1);
    counts.set(table.phase[row], (counts.get(table.phase[row]) ?? 0) + 1);
  }

  addSteps(row) {
    const known = this.withSteps.get(row) ?? 0;
    const all = this.table.traces.get(row).length;
    if (known === all) return;
    const lines = [];
    for (let number = known; number < all; number += 1) {
      lines.push(TRACE + this.steps.length);
      this.steps.push([row, number]);
    }
    this.children[row].splice(known, 0, ...lines);
    this.withSteps.set(row, all);
  }

  /** Choose by text and by what is shown; see `SHOWN`. */
  choose(filter) {
    this.filter = { ...this.filter, ...filter };
    this.arrange();
  }

  /** Compute the lines. */
  arrange() {
    const kept = this.keep();
    const lines = [];
    const depths = [];
    const left = this.tops.toReversed();
    const depthsLeft = new Array(left.length).fill(0);
    while (left.length) {
      const line = left.pop();
      const depth = depthsLeft.pop();
      if (kept && !this.isKept(line, kept)) continue;
      lines.push(line);
      depths.push(depth);
      if (!this.isOpen(line, kept)) continue;
      const below = this.below(line);
      for (let index = below.length - 1; index >= 0; index -= 1) {
        left.push(below[index]);
        depthsLeft.push(depth + 1);
      }
    }
    this.lines = lines;
    this.depths = depths;
    this.kept = kept;
    this.found = kept ? kept.reduce((sum, mark) => sum + (mark === 2), 0) : this.table.length;
  }

  /** Mark the rows that match with 2 and those above them with 1; null where all are shown. */
  keep() {
    const { table, filter } = this;
    const text = filter.text.trim().toLowerCase();
    if (!text && filter.show === "all") return null;
    const kept = new Uint8Array(table.length);
    const tasks = table.tasks.map((name) => name.toLowerCase().includes(text));
    const groups = table.groups.map((name) => name.toLowerCase().includes(text));
    for (let row = 0; row < table.length; row += 1) {
      if (!this.isChosen(row)) continue;
      const matches =
        !text ||
        tasks[table.task[row]] ||
        groups[table.group[row]] ||
        table.id[row].toLowerCase().includes(text) ||
        table.traces.get(row)?.some(([name]) => name.toLowerCase().includes(text));
      if (!matches) continue;
      kept[row] = 2;
      for (let above = table.parent[row]; above >= 0 && !kept[above]; above = table.parent[above]) kept[above] = 1;
    }
    return kept;
  }

  isChosen(row) {
    const { table } = this;
    const phase = table.phaseOf(row);
    switch (this.filter.show) {
      case "failed":
        return phase === "failed" || phase === "timed_out"; // what was aborted with them would bury them
      case "running":
        return table.ended[row] < 0;
      case "critical":
        return table.critical.has(row);
      default:
        return true;
    }
  }

  isKept(line, kept) {
    if (line >= TRACE) return kept[this.steps[line - TRACE][0]] === 2;
    if (line >= GROUP) return this.groups[line - GROUP].members.some((row) => kept[row]);
    return kept[line] > 0;
  }

  below(line) {
    if (line >= TRACE) return [];
    return line >= GROUP ? this.groups[line - GROUP].members : this.children[line];
  }

  isOpen(line, kept = this.kept) {
    if (line >= TRACE) return false;
    if (line >= GROUP) return Boolean(kept) !== this.unfolded.has(line - GROUP); // a search opens them; one may fold again
    return !this.folded.has(line);
  }

  /** Fold a line or unfold it; tells whether it has anything below. */
  toggle(line) {
    if (!this.below(line).length) return false;
    const [set, key] = line >= GROUP ? [this.unfolded, line - GROUP] : [this.folded, line];
    if (!set.delete(key)) set.add(key);
    this.arrange();
    return true;
  }

  foldAll() {
    this.unfolded.clear();
    this.folded = new Set(
      this.children.flatMap((below, row) => (below.length && this.table.parent[row] >= 0 ? [row] : [])),
    );
    this.arrange();
  }

  unfoldAll() {
    this.folded.clear();
    this.unfolded = new Set(this.kept ? [] : this.groups.keys());
    this.arrange();
  }

  /** Unfold what is above a row, and return the place of its line; -1 if the filter hides it. */
  reveal(row) {
    for (let at = row; at >= 0; at = this.table.parent[at]) {
      if (at !== row) this.folded.delete(at);
      const group = this.groupAt.get(`${this.table.parent[at]}/${this.table.group[at]}`);
      if (group === undefined) continue;
      if (this.kept) this.unfolded.delete(group);
      else this.unfolded.add(group);
    }
    this.arrange();
    return this.lines.indexOf(row);
  }

  /** The line above another one in the tree. */
  above(line) {
    if (line >= TRACE) return this.steps[line - TRACE][0];
    if (line >= GROUP) return this.groups[line - GROUP].parent;
    const group = this.groupAt.get(`${this.table.parent[line]}/${this.table.group[line]}`);
    return group === undefined ? this.table.parent[line] : GROUP + group;
  }

  /** What stands above a line, from the top: names of tasks and groups. */
  namesAbove(line) {
    const names = [];
    for (let at = this.above(line); at >= 0; at = this.above(at)) {
      names.unshift(at >= GROUP ? this.groups[at - GROUP].name : this.table.taskOf(at));
    }
    return names;
  }

  /** Rows that failed, the first to fail first: what made others fail comes before them. */
  failures() {
    const { table } = this;
    const bad = new Set(["failed", "timed_out"].map((name) => table.phases.indexOf(name)));
    const rows = [];
    for (let row = 0; row < table.length; row += 1) if (bad.has(table.phase[row])) rows.push(row);
    return rows.sort((one, other) => table.ended[one] - table.ended[other] || other - one);
  }
}
