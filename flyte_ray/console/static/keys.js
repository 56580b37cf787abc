// Show the keys that do something.

import { button, h } from "./dom.js";

const KEYS = [
  [
    "Everywhere",
    [
      ["/", "search"],
      ["?", "this list"],
    ],
  ],
  [
    "Lists",
    [
      ["j k", "next, previous"],
      ["Enter", "open"],
    ],
  ],
  [
    "A run's tree",
    [
      ["↑ ↓ j k", "move"],
      ["← →", "fold, unfold"],
      ["Enter", "open the action"],
      ["f F", "next, previous failure"],
      ["+ - 0", "zoom the timeline in, out, whole"],
      ["Home End", "first, last"],
    ],
  ],
];

/** Open the list of keys. */
export function showKeys() {
  if (document.querySelector("dialog.keys")) return;
  const dialog = h(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    KEYS.map(([where, keys]) => [
      h("h3", {}, where),
      h(
        "dl",
        {},
        keys.map(([key, what]) => [
          h(
            "dt",
            {},
            key.split(" ").map((each) => h("kbd", {}, each)),
          ),
          h("dd", {}, what),
        ]),
      ),
    ]),
    h(
      "div",
      { class: "row end" },
      button("Close", () => dialog.close(), { autofocus: true }),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
