// The axis above the timeline: times, and zooming by buttons, keys, dragging and the wheel.

import { button, fill, h } from "./dom.js";
import { duration } from "./words.js";

const TICK_PX = 90;

/** Make the axis; `onChange` is called when another part of the time is shown. */
export function timeline(scale, { onChange, signal }) {
  const ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  const chosen = h("div", { class: "chosen", hidden: true });
  const area = h("div", { class: "axis-area", title: "Drag to zoom" }, ticks, chosen);
  const draw = () => {
    const width = area.clientWidth;
    if (!width) return;
    fill(
      ticks,
      scale.ticks(Math.max(1, Math.floor(width / TICK_PX))).map((time) => {
        const tick = h("span", {}, time ? duration(time) : "0");
        tick.style.left = `${scale.shareOf(time) * 100}%`;
        return tick;
      }),
    );
  };
  const changed = () => (draw(), onChange());
  const zoom = (factor, around) => (scale.zoom(factor, around), changed());
  const whole = () => (scale.whole(), changed());
  const sign = (text, label, listener) =>
    button(text, listener, { class: "quiet small", "aria-label": label, title: label });
  dragging(area, chosen, (from, to) => (scale.show(scale.at(from), scale.at(to)), changed()));
  area.addEventListener("dblclick", whole);
  area.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = area.getBoundingClientRect();
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) (scale.pan(event.deltaX / box.width), changed());
      else zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width);
    },
    { passive: false },
  );
  const watched = new ResizeObserver(draw);
  watched.observe(area);
  signal.addEventListener("abort", () => watched.disconnect());
  const element = h(
    "div",
    { class: "time-cell axis" },
    area,
    h(
      "div",
      { class: "zoom", role: "group", "aria-label": "Timeline" },
      sign("◂", "Earlier", () => (scale.pan(-0.3), changed())),
      sign("▸", "Later", () => (scale.pan(0.3), changed())),
      sign("+", "Zoom in (+)", () => zoom(0.5)),
      sign("−", "Zoom out (-)", () => zoom(2)),
      sign("Whole", "The whole time (0)", whole),
    ),
  );
  return { element, draw, zoom, whole };
}

function dragging(area, chosen, choose) {
  let from = null;
  const shareOf = (event) => {
    const box = area.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = shareOf(event);
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = shareOf(event);
    chosen.hidden = false;
    chosen.style.left = `${Math.min(from, to) * 100}%`;
    chosen.style.width = `${Math.abs(to - from) * 100}%`;
  });
  const end = (event) => {
    if (from === null) return;
    const [one, other] = [from, shareOf(event)];
    from = null;
    chosen.hidden = true;
    if (Math.abs(one - other) > 0.01) choose(Math.min(one, other), Math.max(one, other));
  };
  area.addEventListener("pointerup", end);
  area.addEventListener("pointercancel", () => ((from = null), (chosen.hidden = true)));
}
