// Show a small part of Markdown: headings, lists, quotes, code, emphasis, links. All else stays the text that it is.

import { h } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|_([^_\s][^_]*)_(?!\w)|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/;

/** Make elements of a text. */
export function markdown(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const blocks = [];
  while (lines.length) blocks.push(takeBlock(lines));
  return h("div", { class: "markdown" }, blocks);
}

function takeBlock(lines) {
  const line = lines.shift();
  if (!line.trim()) return null;
  if (line.startsWith("```")) return h("pre", {}, takeUntilFence(lines).join("\n"));
  const heading = line.match(/^(#{1,6})\s+(.*)$/);
  if (heading) return h(heading[1].length < 3 ? "h3" : "h4", {}, inline(heading[2]));
  const item = itemOf(line);
  if (item)
    return h(
      item.tag,
      {},
      takeItems(lines, line, item.tag).map((text) => h("li", {}, inline(text))),
    );
  if (line.startsWith(">"))
    return h(
      "blockquote",
      {},
      inline(
        [line, ...takeWhile(lines, (next) => next.startsWith(">"))].map((each) => each.replace(/^>\s?/, "")).join(" "),
      ),
    );
  const more = takeWhile(lines, (next) => next.trim() && !/^(#{1,6}\s|```|>)/.test(next) && !itemOf(next));
  return h("p", {}, inline([line, ...more].join(" ")));
}

function itemOf(line) {
  const found = line.match(/^\s*(?:([-*+])|\d+[.)])\s+(.*)$/);
  return found && { tag: found[1] ? "ul" : "ol", text: found[2] };
}

function takeItems(lines, first, tag) {
  return [first, ...takeWhile(lines, (next) => itemOf(next)?.tag === tag)].map((line) => itemOf(line).text);
}

function takeUntilFence(lines) {
  const taken = takeWhile(lines, (next) => !next.startsWith("```"));
  lines.shift();
  return taken;
}

function takeWhile(lines, belongs) {
  const end = lines.findIndex((line) => !belongs(line));
  return lines.splice(0, end < 0 ? lines.length : end);
}

function inline(text) {
  const found = INLINE.exec(text);
  if (!found) return text ? [text] : [];
  const [whole, code, strong, star, under, label, address] = found;
  const made = code
    ? h("code", {}, code)
    : strong
      ? h("strong", {}, inline(strong))
      : label
        ? h("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, label)
        : h("em", {}, inline(star ?? under));
  return [text.slice(0, found.index), made, ...inline(text.slice(found.index + whole.length))];
}
