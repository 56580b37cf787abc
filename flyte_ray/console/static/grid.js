// Show a table a page at a time.

import { read, query } from "./api.js";
import { button, fill, h } from "./dom.js";
import { count, counted } from "./words.js";

const PAGE = 50;

/** Make the grid of a stored table; `address` answers with `{columns, types, rows, total}`. */
export function grid(address, name, signal) {
  const body = h("div", { class: "grid-box", tabindex: "0", role: "region", "aria-label": `Rows of ${name}` });
  const said = h("span", { class: "hint", "aria-live": "polite" }, "reading …");
  let start = 0;
  let total = 0;
  const step = (by) => show(Math.max(0, Math.min(start + by, Math.floor((total - 1) / PAGE) * PAGE)));
  const [first, back, next, last] = [
    ["First", -Infinity],
    ["Back", -PAGE],
    ["Next", PAGE],
    ["Last", Infinity],
  ].map(([word, by]) =>
    button(word, () => step(by), { class: "quiet small", "aria-label": `${word} rows of ${name}` }),
  );
  const show = async (from) => {
    start = from;
    try {
      const page = await read(address + query({ start, count: PAGE }), signal);
      total = page.total;
      fill(body, tableOf(page, start));
      fill(
        said,
        total ? `${count(start + 1)} to ${count(start + page.rows.length)} of ${counted(total, "row")}` : "no rows",
      );
    } catch (error) {
      if (!signal.aborted) fill(said, error.message);
    }
    first.disabled = back.disabled = start <= 0;
    next.disabled = last.disabled = start + PAGE >= total;
  };
  show(0);
  return h("div", { class: "grid" }, body, h("div", { class: "row" }, first, back, next, last, said));
}

function tableOf({ columns, types, rows }, start) {
  const isNumber = columns.map((_, index) => /int|float|double|decimal/.test(types?.[index] ?? ""));
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col", class: "hint" }, "#"),
        columns.map((column, index) =>
          h(
            "th",
            { scope: "col", class: isNumber[index] ? "number" : null },
            column,
            h("span", { class: "type" }, types?.[index] ?? ""),
          ),
        ),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row, number) =>
        h(
          "tr",
          {},
          h("td", { class: "hint" }, count(start + number)),
          row.map((cell, index) => h("td", { class: isNumber[index] ? "number" : null }, cellText(cell))),
        ),
      ),
    ),
  );
}

function cellText(cell) {
  if (cell === null || cell === undefined) return h("span", { class: "hint" }, "null");
  const text = typeof cell === "object" ? JSON.stringify(cell) : String(cell);
  return text.length > 200 ? h("span", { title: text.slice(0, 2000) }, `${text.slice(0, 200)}…`) : text;
}
