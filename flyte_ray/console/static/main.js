// Route addresses to views. A link changes the view without a load; back and forward open what stood there.

import * as action from "./action.js";
import * as app from "./app.js";
import * as apps from "./apps.js";
import * as cache from "./cache.js";
import * as login from "./login.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import * as task from "./task.js";
import * as tasks from "./tasks.js";
import * as triggers from "./triggers.js";
import { BASE, Refused } from "./api.js";
import { fill, h, isTyping } from "./dom.js";
import { showKeys } from "./keys.js";

const ROUTES = [
  [/^\/$/, runs, []],
  [/^\/runs\/([^/]+)$/, run, ["run"]],
  [/^\/runs\/([^/]+)\/actions\/([^/]+)$/, action, ["run", "action"]],
  [/^\/tasks$/, tasks, []],
  [/^\/tasks\/([^/]+)$/, task, ["name"]],
  [/^\/triggers$/, triggers, []],
  [/^\/apps$/, apps, []],
  [/^\/apps\/([^/]+)$/, app, ["name"]],
  [/^\/cache$/, cache, []],
  [/^\/login$/, login, []],
];
const main = document.getElementById("main");
let leaving = new AbortController();

/** Go to an address of ours. */
function go(address) {
  history.pushState(null, "", address);
  open();
  main.querySelector("h1")?.focus({ preventScroll: true });
}

/** Write the view's state into the address: a filter is no page of its own, so that back skips it. */
function setQuery(words) {
  const now = new URL(location.href);
  for (const [name, value] of Object.entries(words)) {
    if (value) now.searchParams.set(name, value);
    else now.searchParams.delete(name);
  }
  if (now.href !== location.href) history.replaceState(null, "", now);
}

async function open() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const path = location.pathname.slice(BASE.length) || "/";
  const route = ROUTES.find(([form]) => form.test(path));
  markPlace(path);
  document.body.className = "";
  scrollTo(0, 0);
  if (!route)
    return fill(
      main,
      h(
        "section",
        { class: "narrow" },
        h("h1", { tabindex: "-1" }, "There is no such page"),
        h("p", {}, h("a", { href: `${BASE}/` }, "All runs")),
      ),
    );
  const words = path.match(route[0]).slice(1).map(decodeURIComponent);
  const params = Object.fromEntries(route[2].map((name, index) => [name, words[index]]));
  try {
    await route[1].open({
      main,
      params,
      query: new URLSearchParams(location.search),
      signal,
      go,
      setQuery,
      home: `${BASE}/`,
    });
  } catch (error) {
    if (!signal.aborted) showTrouble(error);
  }
  return null;
}

function showTrouble(error) {
  if (!(error instanceof Refused) && !(error instanceof TypeError)) console.error(error);
  fill(
    main,
    h(
      "section",
      { class: "narrow" },
      h("h1", { tabindex: "-1" }, error.status === 404 ? "Not found" : "That did not work"),
      h("p", { class: "wrong", role: "alert" }, error.message),
      h(
        "p",
        {},
        h("button", { type: "button", on: { click: open } }, "Try again"),
        " ",
        h("a", { href: `${BASE}/` }, "All runs"),
      ),
    ),
  );
}

function markPlace(path) {
  const place = path.split("/")[1] || "runs";
  for (const link of document.querySelectorAll("nav [data-place]")) {
    if (link.dataset.place === place) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (
    !link ||
    event.defaultPrevented ||
    event.button ||
    event.ctrlKey ||
    event.metaKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  const there = new URL(link.href);
  if (link.target || link.hasAttribute("download") || there.origin !== location.origin) return;
  if (
    !ROUTES.some(([form]) => form.test(there.pathname.slice(BASE.length) || "/")) ||
    there.pathname.startsWith(`${BASE}/api/`)
  )
    return;
  if (there.hash && there.pathname === location.pathname) return;
  event.preventDefault();
  go(there);
});
document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  if (event.key === "?") showKeys();
  else if (event.key === "/") {
    const field = main.querySelector("input[type=search]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  }
});
document.getElementById("keys").addEventListener("click", showKeys);
addEventListener("popstate", open);
login.showSession(document.getElementById("session"));
open();
