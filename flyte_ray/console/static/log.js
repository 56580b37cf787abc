// Show what an attempt printed: follow it while it grows, search in it, keep few lines in the page.

import { follow, query, read } from "./api.js";
import { attemptPicker } from "./attempts.js";
import { button, fill, h, searchBox, set } from "./dom.js";
import { Scroller } from "./scroller.js";
import { count, counted } from "./words.js";

const ROW = 18;
const LONGEST = 5000;
const CONTROL = /\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f]/g;

/** Make the view of an action's logs; `address` is `…/logs`, `attempts` are numbers. */
export function log(address, { attempts, attempt, isLive, onAttempt, signal }) {
  const box = h("div", {
    class: "log-box",
    tabindex: "0",
    role: "log",
    "aria-live": "off",
    "aria-label": "What the action printed",
  });
  const view = new LogView(box, signal);
  const said = h("span", { class: "hint", role: "status" });
  const search = searchBox("Search the log");
  const found = h("span", { class: "hint", role: "status" });
  const following = h("input", { type: "checkbox", checked: true });
  const tell = () =>
    fill(
      found,
      view.text
        ? view.matches.length
          ? `${count(view.match + 1)} of ${count(view.matches.length)}`
          : "not found"
        : "",
    );
  const jump = (by) => (view.jump(by), tell());
  search.addEventListener("input", () => (view.search(search.value), tell()));
  search.addEventListener(
    "keydown",
    (event) => event.key === "Enter" && (event.preventDefault(), jump(event.shiftKey ? -1 : 1)),
  );
  following.addEventListener("change", () => view.followEnd(following.checked));
  view.onFollow = (is) => (following.checked = is);
  view.onGrowth = () => {
    fill(
      said,
      view.isEmpty ? (isLive ? "Nothing printed yet." : "It printed nothing.") : counted(view.scroller.count, "line"),
    );
    tell();
  };
  const picker = attemptPicker(attempts, attempt, onAttempt);
  const file = set(h("a", {}, "Download"), { href: `${address}/file${query({ attempt })}`, download: "" });
  load(view, address, attempt, isLive, signal);
  return h(
    "div",
    { class: "log" },
    h(
      "div",
      { class: "toolbar" },
      picker,
      search,
      button("↑", () => jump(-1), { class: "quiet", "aria-label": "Match before", title: "Match before" }),
      button("↓", () => jump(1), { class: "quiet", "aria-label": "Match after", title: "Match after" }),
      found,
      h("span", { class: "grow" }),
      said,
      isLive ? h("label", { class: "row" }, following, "Follow") : null,
      file,
    ),
    box,
  );
}

async function load(view, address, attempt, isLive, signal) {
  try {
    const { text, next } = await read(address + query({ attempt, after: 0 }), signal);
    view.append(text);
    if (isLive)
      follow(
        `${address}/follow${query({ attempt, after: next })}`,
        { text: (more) => view.append(more.text), end: () => {} },
        signal,
        (_, refusal) => refusal && view.append(`\n${refusal}\n`),
      );
  } catch (error) {
    if (!signal.aborted) view.append(error.message);
  }
}

class LogView {
  constructor(box, signal) {
    this.box = box;
    this.lines = [""];
    this.text = "";
    this.matches = [];
    this.match = -1;
    this.isFollowing = true;
    this.onFollow = this.onGrowth = () => {};
    this.scroller = new Scroller(box, {
      rowHeight: ROW,
      signal,
      make: () => {
        const [number, words] = [
          h("span", { class: "line-number", "aria-hidden": "true" }),
          h("span", { class: "words" }),
        ];
        return { element: h("div", { class: "log-line" }, number, words), number, words };
      },
      fill: (row, index) => this.fill(row, index),
    });
    box.addEventListener("wheel", (event) => event.deltaY < 0 && this.followEnd(false), { passive: true, signal });
    box.addEventListener(
      "keydown",
      (event) => ["ArrowUp", "PageUp", "Home"].includes(event.key) && this.followEnd(false),
      { signal },
    );
  }

  get isEmpty() {
    return this.lines.length === 1 && !this.lines[0];
  }

  append(text) {
    const [first, ...rest] = text.split("\n");
    const from = this.lines.length - 1;
    this.lines[from] += first;
    for (const line of rest) this.lines.push(line);
    for (let index = from; index < this.lines.length; index += 1) this.lines[index] = clean(this.lines[index]);
    if (this.text) this.find();
    this.scroller.reset(this.lines.length - (this.lines.at(-1) ? 0 : 1));
    if (this.isFollowing) this.followEnd(true);
    this.onGrowth();
  }

  followEnd(is) {
    this.isFollowing = is;
    this.onFollow(is);
    if (is) this.box.scrollTop = this.box.scrollHeight;
  }

  search(text) {
    this.text = text.toLowerCase();
    this.match = -1;
    this.find();
    if (this.matches.length) this.jump(1);
    this.scroller.refresh();
  }

  find() {
    this.matches = [];
    if (!this.text) return;
    this.lines.forEach((line, index) => line.toLowerCase().includes(this.text) && this.matches.push(index));
  }

  jump(by) {
    if (!this.matches.length) return;
    this.match = (this.match + by + this.matches.length) % this.matches.length;
    this.followEnd(false);
    this.scroller.reveal(this.matches[this.match]);
    this.scroller.refresh();
  }

  fill(row, index) {
    const line = this.lines[index];
    row.number.textContent = index + 1;
    row.element.classList.toggle("at", this.matches[this.match] === index);
    const shown =
      line.length > LONGEST
        ? `${line.slice(0, LONGEST)} … ${count(line.length - LONGEST)} more characters (download)`
        : line;
    fill(row.words, this.text ? marked(shown, this.text) : shown);
  }
}

/** Leave colours and other signs to terminals out; of what overwrote itself its last state. */
function clean(line) {
  const last = line.endsWith("\r") ? line : line.slice(line.lastIndexOf("\r") + 1);
  return last.replace(CONTROL, "");
}

function marked(line, text) {
  const parts = [];
  let from = 0;
  for (let at = line.toLowerCase().indexOf(text); at >= 0; at = line.toLowerCase().indexOf(text, from)) {
    parts.push(line.slice(from, at), h("mark", {}, line.slice(at, at + text.length)));
    from = at + text.length;
  }
  return [...parts, line.slice(from)];
}
