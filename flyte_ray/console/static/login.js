// Ask for the token. Invariant: it goes to the console alone, which keeps it in a cookie that no script can read.

import { button, fill, h } from "./dom.js";

let asking = null;

/** Ask in a dialog; resolves to whether the token was taken. Who asks meanwhile waits for the same answer. */
export function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = h("dialog", { class: "login", "aria-labelledby": "login-title" });
    const end = (taken) => {
      asking = null;
      dialog.close();
      dialog.remove();
      resolve(taken);
    };
    fill(
      dialog,
      h("h2", { id: "login-title" }, "A token is needed"),
      loginForm(() => end(true)),
    );
    dialog.addEventListener("cancel", () => end(false));
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** Make the form; `done` is called when the console has taken the token. */
export function loginForm(done) {
  const field = h("input", {
    type: "password",
    id: "token",
    name: "token",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const said = h("p", { class: "wrong", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    said.textContent = "";
    const base = document.documentElement.dataset.base || "";
    const answer = await fetch(`${base}/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: field.value.trim() }),
    });
    if (answer.ok) {
      showSession(document.getElementById("session"));
      return done();
    }
    said.textContent =
      answer.status === 401 ? "The console does not know this token." : `The console answered ${answer.status}.`;
    field.select();
    return null;
  };
  return h(
    "form",
    { class: "stack", on: { submit } },
    h("label", { for: "token" }, "Token"),
    field,
    h(
      "p",
      { class: "hint" },
      "Made with ",
      h("code", {}, "flyte-ray create token NAME --scope api:read --scope api:write"),
      ".",
    ),
    said,
    h("div", { class: "row end" }, h("button", { class: "primary" }, "Log in")),
  );
}

/** Show whose token the console has, with a way to take it back, where it needs one. */
export async function showSession(box) {
  const base = document.documentElement.dataset.base || "";
  const answer = await fetch(`${base}/api/session`, { credentials: "same-origin" });
  const { token_needed: isNeeded, who } = answer.ok ? await answer.json() : {};
  const leave = async () => {
    await fetch(`${base}/logout`, { method: "POST", credentials: "same-origin" });
    location.assign(`${base}/login`);
  };
  fill(box, isNeeded && who ? [who, button("Log out", leave, { class: "quiet" })] : null);
}

/** The page at `/login`. */
export function open({ main, go, home }) {
  document.title = "Log in · flyte-ray";
  fill(
    main,
    h(
      "section",
      { class: "narrow" },
      h("h1", {}, "Log in"),
      loginForm(() => go(home)),
    ),
  );
}
