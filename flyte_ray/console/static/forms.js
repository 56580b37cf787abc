// Fields for values of a JSON schema, and back. What has no field of its own is edited as JSON.

import { h } from "./dom.js";

let made = 0;

/** Make a field: `{element, value()}`; `value` throws an Error in the reader's words where the text is none. */
export function field(name, schema, value, { required = false } = {}) {
  const plain = simple(schema);
  const id = `field-${(made += 1)}`;
  const [input, value_] = (plain.enum && !plain.open ? choice : (MAKERS[plain.type] ?? jsonText))(
    id,
    plain,
    value,
    name,
  );
  const kind = plain.enum ? "one of these" : (plain.type ?? "JSON");
  const hint = [kind === "object" || kind === "array" ? "JSON" : kind, required ? "" : "optional"]
    .filter(Boolean)
    .join(", ");
  const said = schema.description ?? plain.description;
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, name, h("span", { class: "type" }, hint)),
    input,
    said ? h("p", { class: "hint" }, said) : null,
  );
  return { element, value: value_ };
}

/** Make a field for each property of an object's schema: `{element, value()}`. */
export function fields(schema, values) {
  const root = schema ?? {};
  const all = Object.entries(
    root.properties ?? Object.fromEntries(Object.keys(values ?? {}).map((name) => [name, {}])),
  );
  const parts = all.map(([name, part]) => [
    name,
    field(name, resolve(part, root), values?.[name] ?? part.default, { required: root.required?.includes(name) }),
  ]);
  return {
    element: h(
      "div",
      { class: "stack" },
      parts.map(([, part]) => part.element),
    ),
    count: parts.length,
    value: () =>
      Object.fromEntries(parts.map(([name, part]) => [name, part.value()]).filter(([, value]) => value !== undefined)),
  };
}

function resolve(part, root) {
  const name = part.$ref?.match(/^#\/(\$defs|definitions)\/(.+)$/);
  return name ? { ...root[name[1]]?.[name[2]], ...part } : part;
}

/** Of `T or null` take T: an empty field is null. */
function simple(schema) {
  const options = (schema.anyOf ?? schema.oneOf ?? []).filter((option) => option.type !== "null");
  if (options.length === 1) return { ...options[0], isNullable: true };
  if (Array.isArray(schema.type))
    return { ...schema, type: schema.type.find((type) => type !== "null"), isNullable: true };
  return schema;
}

const MAKERS = { boolean: yesNo, integer: number, number, string: text };

function yesNo(id, schema, value) {
  const input = h(
    "select",
    { id },
    ["true", "false", ...(schema.isNullable ? [""] : [])].map((each) =>
      h(
        "option",
        { value: each, selected: String(value ?? (schema.isNullable ? "" : "true")) === each },
        { true: "yes", false: "no", "": "none" }[each],
      ),
    ),
  );
  return [input, () => (input.value ? input.value === "true" : null)];
}

function number(id, schema, value, name) {
  const whole = schema.type === "integer";
  const input = h("input", {
    id,
    inputmode: whole ? "numeric" : "decimal",
    value: value ?? "",
    autocomplete: "off",
    required: !schema.isNullable,
  });
  return [
    input,
    () => {
      const typed = input.value.trim();
      if (!typed && schema.isNullable) return null;
      const read = Number(typed);
      const known = typed && Number.isFinite(read) && (!whole || Number.isInteger(read));
      return known
        ? read
        : refuse(input, `Expected ${whole ? "a whole number" : "a number"} for ${name}, got '${typed}'.`);
    },
  ];
}

function text(id, schema, value) {
  const long = typeof value === "string" && (value.length > 60 || value.includes("\n"));
  const input = long
    ? h("textarea", { id, rows: 4, spellcheck: "false" }, value)
    : h("input", { id, type: "text", value: value ?? "", autocomplete: "off", spellcheck: "false" });
  return [input, () => (!input.value && schema.isNullable ? null : input.value)];
}

function choice(id, schema, value) {
  const input = h(
    "select",
    { id },
    schema.enum.map((each) => h("option", { value: JSON.stringify(each), selected: each === value }, String(each))),
  );
  return [input, () => JSON.parse(input.value)];
}

function jsonText(id, schema, value, name) {
  const written = value === undefined ? "" : JSON.stringify(value, null, 2);
  const input = h(
    "textarea",
    { id, rows: Math.min(12, Math.max(2, written.split("\n").length)), spellcheck: "false", class: "code" },
    written,
  );
  return [
    input,
    () => {
      if (!input.value.trim()) return undefined;
      try {
        return JSON.parse(input.value);
      } catch (error) {
        return refuse(input, `Expected JSON for ${name}: ${error.message}`);
      }
    },
  ];
}

function refuse(input, sentence) {
  input.focus();
  throw new Error(sentence);
}
