// The part of a run's time that the timeline shows. Pure: milliseconds since the run's start, and shares of the width.

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5,
  216e5, 432e5, 864e5, 1728e5, 6048e5,
];
const SHORTEST_MS = 5;

export class Timescale {
  constructor() {
    this.end = 1;
    this.from = 0;
    this.to = 1;
    this.isWhole = true;
  }

  /** Say how long the run is; the whole is shown until somebody zooms. */
  extend(end) {
    this.end = Math.max(end, 1);
    if (this.isWhole) [this.from, this.to] = [0, this.end];
  }

  whole() {
    this.isWhole = true;
    this.extend(this.end);
  }

  show(from, to) {
    const length = Math.min(Math.max(to - from, SHORTEST_MS), this.end);
    this.from = Math.min(Math.max(0, from), this.end - length);
    this.to = this.from + length;
    this.isWhole = length >= this.end;
  }

  /** Show `factor` times as much around a share of the width. */
  zoom(factor, around = 0.5) {
    const length = (this.to - this.from) * factor;
    const fixed = this.at(around);
    this.show(fixed - length * around, fixed + length * (1 - around));
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.show(this.from + by, this.to + by);
  }

  /** The time at a share of the width. */
  at(share) {
    return this.from + (this.to - this.from) * share;
  }

  /** The share of the width at which a time stands; outside of 0 to 1 if it is not shown. */
  shareOf(time) {
    return (time - this.from) / (this.to - this.from);
  }

  /** Round times for the axis, `most` at most. */
  ticks(most) {
    const step = STEPS.find((each) => (this.to - this.from) / each <= most) ?? STEPS.at(-1);
    const found = [];
    for (let time = Math.ceil(this.from / step) * step; time <= this.to; time += step) found.push(time);
    return found;
  }
}
