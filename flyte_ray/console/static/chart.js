// Draw lines over time, small: the last values, the largest one, no more.

import { h } from "./dom.js";
import { duration } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 60];

/** Make a chart of series `[name, [[ms, value], …]]`; `isStep` for what changes by jumps. */
export function chart(series, { isStep = false } = {}) {
  const points = series.flatMap(([, list]) => list).filter(([, value]) => value !== null);
  if (!points.length) return h("p", { class: "hint" }, "Nothing measured yet.");
  const [from, to] = [Math.min(...points.map(([ms]) => ms)), Math.max(...points.map(([ms]) => ms))];
  const most = Math.max(...points.map(([, value]) => value), 1e-9);
  const svg = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    class: "chart",
    role: "img",
    "aria-label": series
      .map(([name, list]) => `${name}: ${number(list.at(-1)?.[1])} now, ${number(most)} at most`)
      .join("; "),
  });
  series.forEach(([, list], index) => {
    let path = "";
    for (const [ms, value] of list) {
      if (value === null) continue;
      const x = ((ms - from) / Math.max(1, to - from)) * WIDTH;
      const y = HEIGHT - 2 - (value / most) * (HEIGHT - 6);
      path += !path ? `M${x} ${y}` : isStep ? `H${x}V${y}` : `L${x} ${y}`;
    }
    svg.append(draw("path", { d: path, class: `line-${index}` }));
  });
  return h(
    "figure",
    { class: "figure" },
    svg,
    h(
      "figcaption",
      { class: "hint row" },
      series.map(([name, list], index) =>
        h("span", { class: `series-${index}` }, `${name} ${number(list.at(-1)?.[1])}`),
      ),
      h("span", { class: "grow" }),
      `at most ${number(most)} in ${duration(to - from)}`,
    ),
  );
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function number(value) {
  return value === null || value === undefined ? "–" : String(Math.round(value * 100) / 100);
}
