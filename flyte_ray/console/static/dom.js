// Make elements. Invariant: what comes from a run reaches the page as text or as a checked address, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes by name (`on` holds listeners, null and false leave one out), then children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...nodes(children));
  return element;
}

/** Set attributes as `h` does. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else if (name === "href" || name === "src") {
      if (isHarmless(value)) element.setAttribute(name, value);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  return element;
}

/** Put children in the place of those that are there. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Tell whether an address leads to a page and runs nothing. */
function isHarmless(address) {
  try {
    return ["http:", "https:"].includes(new URL(address, location.href).protocol);
  } catch {
    return false;
  }
}

/** Draw a 12 by 12 icon from a path. */
export function icon(path, name = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("class", `icon ${name}`);
  svg.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}

/** Make a button; its name is what it says, or `label` where it shows a sign alone. */
export function button(text, listener, attributes = {}) {
  return h("button", { type: "button", on: { click: listener }, ...attributes }, text);
}

/** Make a button that copies a text and says so for a moment. */
export function copyButton(text, label) {
  const made = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        made.textContent = "Copied";
      } catch {
        made.textContent = "Press Ctrl+C";
        const shown = made.parentElement?.querySelector("[data-copied]");
        if (shown) getSelection().selectAllChildren(shown);
      }
      setTimeout(() => (made.textContent = "Copy"), 1500);
    },
    { class: "quiet small", "aria-label": label, title: label },
  );
  return made;
}

/** Tell whether keys that are typed belong to a field, or mean something to the browser. */
export function isTyping(event) {
  const at = event.target;
  return (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    (at instanceof Element && at.matches("input, textarea, select, dialog *"))
  );
}

/** A field to search with, which is named by what it searches. */
export function searchBox(label, options = {}) {
  return h("input", { type: "search", placeholder: label, "aria-label": label, spellcheck: "false", ...options });
}
