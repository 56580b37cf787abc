// What one may do with a run: abort, resume, rerun, recover, answer a question. Each in a dialog that says what it does.

import { act, at } from "./api.js";
import { button, fill, h } from "./dom.js";
import { field, fields } from "./forms.js";
import { markdown } from "./markdown.js";
import { shortId, shortTask } from "./words.js";

let made = 0;

/** Open a dialog with a form; `submit` does it and may throw. Resolves to what it returned, null if it was left. */
function ask(title, verb, body, submit, { danger = false } = {}) {
  return new Promise((resolve) => {
    const id = `dialog-${(made += 1)}`;
    const said = h("p", { class: "wrong", role: "alert" });
    const go = h("button", { class: danger ? "danger" : "primary" }, verb);
    let result = null;
    const send = async (event) => {
      event.preventDefault();
      fill(said);
      go.disabled = true;
      try {
        result = (await submit()) ?? true;
        dialog.close();
      } catch (error) {
        fill(said, error.message);
      }
      go.disabled = false;
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": id },
      h(
        "form",
        { class: "stack", novalidate: true, on: { submit: send } },
        h("h2", { id }, title),
        body,
        said,
        h(
          "div",
          { class: "row end" },
          button("Cancel", () => dialog.close()),
          go,
        ),
      ),
    );
    dialog.addEventListener("close", () => (dialog.remove(), resolve(result)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Abort a run, or an action with all below it. */
export function abort(run, action = null) {
  const reason = field("Reason", { type: "string" }, "");
  const what = action ? `${action.task} (${shortId(action.id)}) and all below it` : "the run";
  return ask(
    `Abort ${action ? shortTask(action.task) : run}?`,
    "Abort",
    [h("p", {}, `This ends ${what}. What has succeeded stays; 'resume' goes on from there.`), reason.element],
    () =>
      act(at("api", "runs", run, "abort"), {
        ...(action ? { action: action.id } : {}),
        ...(reason.value() ? { reason: reason.value() } : {}),
      }),
    { danger: true },
  );
}

/** Continue a run that was cut off, failed or was aborted. */
export function resume(run) {
  return ask(
    `Resume ${run}?`,
    "Resume",
    h("p", {}, "What has succeeded is kept; the rest runs again, under the same name."),
    () => act(at("api", "runs", run, "resume")),
  );
}

/** Start a run anew, with changed inputs where one likes; resolves to `{run}`. */
export function rerun(run, { schema, inputs, action = null, task = "", recover = false }) {
  const form = fields(schema, inputs);
  const said = recover
    ? "A new run with the same code, which takes over what has succeeded here and runs the rest."
    : `A new run with the code of ${action ? `${run}, of ${task} (${shortId(action)}) and what it calls` : "this one"}.`;
  return ask(
    recover ? `Recover ${run}` : `Rerun ${action ? shortTask(task) : run}`,
    recover ? "Recover" : "Rerun",
    [h("p", {}, said), form.count ? form.element : null],
    () => {
      const given = form.value();
      const changed = Object.fromEntries(
        Object.entries(given).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(inputs?.[name])),
      );
      return act(at("api", "runs", run, "rerun"), { inputs: changed, recover, ...(action ? { action } : {}) });
    },
  );
}

/** Start a deployed task in one of its versions; resolves to `{run}`. */
export function launch({ task, version, inputs: schema }) {
  const form = fields(schema, {});
  const name = field("Run's name", { type: "string", description: "Made up if left out." }, "");
  return ask(
    `Launch ${task}`,
    "Launch",
    [h("p", {}, "A new run of version ", h("code", {}, version), "."), form.count ? form.element : null, name.element],
    () => {
      const given = Object.entries(form.value());
      const changed = given.filter(
        ([each, value]) =>
          schema.required?.includes(each) || JSON.stringify(value) !== JSON.stringify(schema.properties[each].default),
      );
      return act(at("api", "runs"), { task, version, inputs: Object.fromEntries(changed), name: name.value() || null });
    },
  );
}

const SCHEMA_OF = { bool: "boolean", int: "integer", float: "number", str: "string" };

/** Make the box in which a waiting condition is answered; when it was, that is said in its place. */
export function question(run, condition) {
  const answer =
    condition.data_type === "bool"
      ? null
      : field("Answer", { type: SCHEMA_OF[condition.data_type] }, "", { required: true });
  const said = h("p", { class: "wrong", role: "alert" });
  const send = async (value) => {
    fill(said);
    try {
      await act(at("api", "runs", run, "signal"), {
        name: condition.action_name,
        value: typeof value === "function" ? value() : value,
      });
      fill(box, h("p", { class: "hint", role: "status" }, "Answered. The run goes on."));
    } catch (error) {
      fill(said, error.message);
    }
  };
  const prompt =
    condition.prompt_type === "markdown" ? markdown(condition.prompt) : h("p", { class: "prompt" }, condition.prompt);
  const buttons = answer
    ? [answer.element, h("button", { class: "primary" }, "Send")]
    : [button("Yes", () => send(true), { class: "primary" }), button("No", () => send(false))];
  const submit = (event) => (event.preventDefault(), answer && send(answer.value));
  const box = h(
    "form",
    { class: "question", novalidate: true, "aria-label": `Question ${condition.name}`, on: { submit } },
    h("header", {}, h("b", {}, condition.name), h("span", { class: "hint" }, "waits for an answer")),
    prompt,
    condition.description ? h("p", { class: "hint" }, condition.description) : null,
    h("div", { class: "row answer" }, buttons),
    said,
  );
  return box;
}

/** Of what an action was started with, what a form can show: plain values that came whole. The rest is kept. */
export function startedWith(inputs, schema) {
  const known = {};
  for (const { name, kind, value, whole } of inputs ?? []) {
    if (whole && (kind === "text" || kind === "json")) known[name] = value;
  }
  const shown = (inputs ?? []).length ? new Set(Object.keys(known)) : null;
  const properties = schema?.properties
    ? Object.fromEntries(
        Object.entries(schema.properties).filter(([name, part]) => !part.readOnly && (!shown || shown.has(name))),
      )
    : undefined;
  return { inputs: known, schema: properties ? { ...schema, properties } : undefined };
}
