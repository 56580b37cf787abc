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
  const hint = [{ object: "JSON", array: "JSON" }[kind] ?? plain.format ?? kind, required ? "" : "optional"]
    .filter(Boolean)
    .join(", ");
  const said = schema.description ?? plain.description ?? shape(plain);
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
  const parts = all.map(([name, part]) => {
    const required = root.required?.includes(name);
    // What has a default that is no JSON keeps it while nothing is typed.
    const isLeft = !required && !(name in (values ?? {})) && !("default" in part);
    return [name, field(name, { ...resolve(part, root), isLeft }, values?.[name] ?? part.default, { required })];
  });
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
  const found = name ? { ...root[name[1]]?.[name[2]], ...part } : part;
  return found.anyOf ? { ...found, anyOf: found.anyOf.map((option) => resolve(option, root)) } : found;
}

/** Say what an object's JSON holds: `{width: integer, height?: integer}`. */
function shape({ properties, required = [] }) {
  const parts = Object.entries(properties ?? {}).map(
    ([name, part]) => `${name}${required.includes(name) ? "" : "?"}: ${part.type ?? "…"}`,
  );
  return parts.length ? `{${parts.join(", ")}}` : "";
}

/** Of `T or null` take T: an empty field is null. */
function simple(schema) {
  const options = (schema.anyOf ?? schema.oneOf ?? []).filter((option) => option.type !== "null");
  const { isLeft } = schema;
  if (options.length === 1) return { ...options[0], isLeft, isNullable: true };
  if (Array.isArray(schema.type))
    return { ...schema, type: schema.type.find((type) => type !== "null"), isNullable: true };
  return schema;
}

const MAKERS = { boolean: yesNo, integer: number, number, string: text };

function yesNo(id, schema, value) {
  const input = h(
    "select",
    { id },
    ["true", "false", ...(schema.isNullable || schema.isLeft ? [""] : [])].map((each) =>
      h(
        "option",
        { value: each, selected: String(value ?? (schema.isNullable || schema.isLeft ? "" : "true")) === each },
        { true: "yes", false: "no", "": schema.isLeft ? "default" : "none" }[each],
      ),
    ),
  );
  return [input, () => (input.value ? input.value === "true" : nothing(schema))];
}

function number(id, schema, value, name) {
  const whole = schema.type === "integer";
  const input = h("input", {
    id,
    inputmode: whole ? "numeric" : "decimal",
    value: value ?? "",
    autocomplete: "off",
    required: !schema.isNullable && !schema.isLeft,
  });
  return [
    input,
    () => {
      const typed = input.value.trim();
      if (!typed && (schema.isNullable || schema.isLeft)) return nothing(schema);
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
  return [input, () => (!input.value && (schema.isNullable || schema.isLeft) ? nothing(schema) : input.value)];
}

/** What an empty field stands for: the default, or null. */
function nothing({ isLeft }) {
  return isLeft ? undefined : null;
}

function choice(id, schema, value) {
  const input = h(
    "select",
    { id },
    schema.isLeft ? h("option", { value: "" }, "default") : null,
    schema.enum.map((each) => h("option", { value: JSON.stringify(each), selected: each === value }, String(each))),
  );
  return [input, () => (input.value ? JSON.parse(input.value) : undefined)];
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
