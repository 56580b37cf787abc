// Show a long list in few elements: those in sight and some around them, used again as it is scrolled.
//
// Invariant: the number of elements follows from the height of the box, never from the length of the list.

import { h } from "./dom.js";

const BEYOND = 10;
const SETTLED_MS = 80;

export class Scroller {
  /**
   * @param box the element that scrolls
   * @param make makes a row, which has an `element`
   * @param fill fills a row for an index
   */
  constructor(box, { rowHeight, make, fill, signal }) {
    this.box = box;
    this.rowHeight = rowHeight;
    this.count = 0;
    this.make = make;
    this.fill = fill;
    this.rows = [];
    this.shown = []; // the index that each row has
    this.space = h("div", { class: "space", role: "presentation" });
    this.waits = false;
    this.top = 0;
    this.rest = 0;
    box.append(this.space);
    box.addEventListener("scroll", () => this.later(), { passive: true, signal });
    const watched = new ResizeObserver(() => this.later());
    watched.observe(box);
    signal.addEventListener("abort", () => watched.disconnect());
  }

  /** Say how long the list is, and that any row may have changed. */
  reset(count) {
    this.count = count;
    this.space.style.height = `${count * this.rowHeight}px`;
    this.refresh();
  }

  /** Fill all rows that are shown anew. */
  refresh() {
    this.shown.fill(-1);
    this.later();
  }

  later() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.draw();
    });
  }

  draw() {
    const { box, rowHeight } = this;
    const [top, height] = [box.scrollTop, box.clientHeight];
    const beyond = this.isFast(top, height) ? 0 : BEYOND;
    const first = Math.max(0, Math.floor(top / rowHeight) - beyond);
    const end = Math.min(this.count, Math.ceil((top + height) / rowHeight) + beyond);
    this.resize(Math.ceil(height / rowHeight) + 2 * BEYOND + 2);
    const size = this.rows.length;
    const used = new Set();
    for (let index = first; index < end; index += 1) {
      const slot = index % size;
      used.add(slot);
      if (this.shown[slot] === index) continue;
      this.shown[slot] = index;
      const { element } = this.rows[slot];
      element.style.transform = `translateY(${index * rowHeight}px)`;
      element.hidden = false;
      this.fill(this.rows[slot], index);
    }
    for (let slot = 0; slot < size; slot += 1) {
      if (!used.has(slot) && this.shown[slot] !== -2) {
        this.shown[slot] = -2;
        this.rows[slot].element.hidden = true;
      }
    }
  }

  /** Tell whether nothing that was shown is shown any more: what lies around it can wait until the list rests. */
  isFast(top, height) {
    const isFast = Math.abs(top - this.top) > height;
    this.top = top;
    if (isFast) {
      clearTimeout(this.rest);
      this.rest = setTimeout(() => this.later(), SETTLED_MS);
    }
    return isFast;
  }

  resize(size) {
    if (size === this.rows.length) return;
    while (this.rows.length < size) {
      const row = this.make(this.rows.length);
      this.space.append(row.element);
      this.rows.push(row);
    }
    for (const row of this.rows.splice(size)) row.element.remove();
    this.shown = new Array(size).fill(-1);
  }

  /** Return the row that shows an index, if one does. */
  rowOf(index) {
    const slot = index % this.rows.length;
    return this.shown[slot] === index ? this.rows[slot] : null;
  }

  /** Scroll so that an index is in sight; in the middle, if it was not. */
  reveal(index) {
    const { box, rowHeight } = this;
    const top = index * rowHeight;
    if (top >= box.scrollTop && top + rowHeight <= box.scrollTop + box.clientHeight) return;
    const near =
      top + rowHeight > box.scrollTop - 2 * rowHeight && top < box.scrollTop + box.clientHeight + 2 * rowHeight;
    if (!near) box.scrollTop = top - (box.clientHeight - rowHeight) / 2;
    else if (top < box.scrollTop) box.scrollTop = top;
    else box.scrollTop = top + rowHeight - box.clientHeight;
    this.draw();
  }
}
