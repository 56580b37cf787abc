// Show inputs and outputs by what they are.

import { at, query } from "./api.js";
import { copyButton, fill, h } from "./dom.js";
import { grid } from "./grid.js";
import { json } from "./json.js";
import { bytes, counted } from "./words.js";

const SHORT = 60;
const IMAGE = /\.(png|jpe?g|gif|webp|bmp|avif)$/i;

/** Make the list of an action's inputs or outputs: `side` is `inputs` or `outputs`. */
export function values(run, action, side, list, signal) {
  if (!list?.length) return h("p", { class: "hint" }, side === "inputs" ? "It takes none." : "There are none.");
  return h(
    "div",
    { class: "values" },
    list.map((value) => {
      const address = at("api", "runs", run, "actions", action, "values", side, value.name);
      const label = `${side === "inputs" ? "Input" : "Output"} ${value.name}`;
      if (isShort(value))
        return h(
          "section",
          { class: "value", "aria-label": label },
          h("header", {}, h("b", {}, value.name), json(value.value)),
        );
      return h(
        "section",
        { class: "value", "aria-label": label },
        h("header", {}, h("b", {}, value.name), h("span", { class: "type" }, value.type ?? ""), facts(value)),
        h("div", { class: "value-body" }, body(value, address, signal)),
      );
    }),
  );
}

/** Tell whether a value fits on the line of its name. */
function isShort({ kind, value, whole }) {
  return (
    whole &&
    ((kind === "json" && (value === null || typeof value !== "object")) ||
      (kind === "text" && value.length < SHORT && !value.includes("\n")))
  );
}

function facts(value) {
  const size = value.size ? bytes(value.size) : "";
  const rows = value.rows !== null && value.rows !== undefined ? counted(value.rows, "row") : "";
  const columns = value.schema?.length ? counted(value.schema.length, "column") : "";
  return h("span", { class: "hint" }, [rows, columns, size].filter(Boolean).join(" · "));
}

function body(value, address, signal) {
  switch (value.kind) {
    case "table":
      return [schemaOf(value), grid(`${address}/rows`, value.name, signal)];
    case "image":
      return [picture(address, value), download(address, value)];
    case "file":
      return [IMAGE.test(value.uri ?? "") ? picture(address, value) : null, download(address, value)];
    case "dir":
      return [entries(value, address), stored(value)];
    case "text":
      return [text(value, address)];
    case "json":
      return [jsonOf(value, address)];
    default:
      return [
        value.preview ? h("pre", {}, preview(value)) : null,
        stored(value),
        value.kind === "pickle"
          ? h("p", { class: "hint" }, "A Python object, pickled. The console loads no pickles.")
          : null,
      ];
  }
}

function preview(value) {
  return typeof value.preview === "string" ? value.preview : JSON.stringify(value.preview, null, 2);
}

function schemaOf(value) {
  if (!value.schema?.length) return null;
  return h(
    "details",
    {},
    h("summary", {}, "Columns"),
    h(
      "dl",
      { class: "facts" },
      value.schema.map(([name, type]) => [h("dt", {}, name), h("dd", {}, h("code", {}, type))]),
    ),
  );
}

function picture(address, value) {
  return h("img", { src: `${address}/content`, alt: `${value.name}, an image`, class: "picture", loading: "lazy" });
}

function download(address, value) {
  const name = value.uri?.split("/").at(-1) || value.name;
  return h(
    "p",
    { class: "row" },
    h("a", { href: `${address}/content`, download: name }, `Download ${name}`),
    value.size ? h("span", { class: "hint" }, bytes(value.size)) : null,
    stored(value),
  );
}

function stored(value) {
  return value.uri
    ? h(
        "span",
        { class: "row uri" },
        h("code", { "data-copied": "" }, value.uri),
        copyButton(value.uri, `Copy the address of ${value.name}`),
      )
    : null;
}

function entries(value, address) {
  const paths = (value.preview ?? "").split("\n").filter(Boolean);
  if (!paths.length) return null;
  return h(
    "details",
    { open: paths.length <= 20 },
    h("summary", {}, counted(paths.length, "file"), value.whole === false ? " and more" : ""),
    h(
      "ul",
      { class: "files" },
      paths.map((path) =>
        h(
          "li",
          {},
          h("a", { class: "id", href: `${address}/content${query({ path })}`, download: path.split("/").at(-1) }, path),
        ),
      ),
    ),
  );
}

function text(value, address) {
  const shown = h("pre", { class: "text" }, preview(value));
  return value.whole === false ? [shown, wholeButton(address, (all) => fill(shown, all))] : shown;
}

function jsonOf(value, address) {
  const shown = h("div", {});
  const show = (written) => {
    try {
      fill(shown, json(typeof written === "string" ? JSON.parse(written) : written)); // a text is JSON yet to be read
    } catch {
      fill(shown, h("pre", {}, written)); // cut in its middle
    }
  };
  show(value.value ?? value.preview ?? "null");
  return value.whole === false ? [shown, wholeButton(address, show)] : shown;
}

function wholeButton(address, show) {
  const whole = h("button", { type: "button", class: "quiet small" }, "Show the whole");
  whole.addEventListener("click", async () => {
    whole.disabled = true;
    const answer = await fetch(`${address}/content`, { credentials: "same-origin" });
    if (!answer.ok) return fill(whole, `The console answered ${answer.status}`);
    show(await answer.text());
    return box.remove();
  });
  const box = h(
    "p",
    { class: "row" },
    h("span", { class: "hint" }, "This is its beginning."),
    whole,
    h("a", { href: `${address}/content`, download: "" }, "Download"),
  );
  return box;
}
