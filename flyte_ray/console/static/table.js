// Hold the actions of a run in columns, and take changes in.

const COLUMNS = ["id", "parent", "task", "group", "phase", "attempts", "queued", "started", "ended"];

export class Table {
  /** Take the columns that `/api/runs/RUN/table` sends. */
  constructor(sent) {
    for (const name of COLUMNS) this[name] = sent[name];
    this.position = sent.position;
    this.tasks = sent.tasks;
    this.groups = sent.groups;
    this.phases = sent.phases;
    this.cached = new Set(sent.cached);
    this.critical = new Set(sent.critical);
    this.traces = byRow(sent.traces);
    this.earlier = byRow(sent.earlier); // attempts before the last one: [queued, started, ended, outcome]
    this.rowOf = new Map(this.id.map((id, row) => [id, row]));
  }

  get length() {
    return this.id.length;
  }

  phaseOf(row) {
    return this.phases[this.phase[row]];
  }

  taskOf(row) {
    return this.tasks[this.task[row]] ?? "";
  }

  groupOf(row) {
    return this.group[row] < 0 ? null : this.groups[this.group[row]];
  }

  /**
   * Take changed rows in.
   *
   * Returns the rows that changed and the numbers of the phases that they had, null for new ones.
   */
  apply(changes) {
    const ours = { task: numbersOf(this.tasks, changes.tasks), group: numbersOf(this.groups, changes.groups) };
    if (changes.position !== undefined) this.position = changes.position;
    if (changes.critical) this.critical = new Set(changes.critical);
    for (const row of changes.row ?? []) this.cached.delete(row);
    for (const row of changes.cached ?? []) this.cached.add(row);
    for (const name of ["traces", "earlier"]) for (const [row, list] of byRow(changes[name])) this[name].set(row, list);
    return (changes.row ?? []).map((row, at) => {
      const before = row < this.length ? this.phase[row] : null;
      for (const name of COLUMNS) {
        const sent = changes[name][at];
        this[name][row] = name in ours && sent >= 0 ? ours[name][sent] : sent;
      }
      this.rowOf.set(this.id[row], row);
      return [row, before];
    });
  }

  /** When the last thing known of happened, in ms since the run's start. */
  last() {
    let last = 0;
    for (const column of [this.ended, this.started, this.queued]) {
      for (const at of column) if (at > last) last = at;
    }
    return last;
  }
}

/** Numbers among known names of those that changes bring and count in themselves; new ones become known. */
function numbersOf(known, sent) {
  return (sent ?? []).map((name) => (known.includes(name) ? known.indexOf(name) : known.push(name) - 1));
}

function byRow(sent) {
  return new Map(Object.entries(sent ?? {}).map(([row, list]) => [Number(row), list]));
}
