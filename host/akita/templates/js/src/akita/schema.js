// Checks a value against the part of JSON Schema that inputs of actions need: type, enum, const, properties, required,
// additionalProperties, items and the bounds of numbers, texts and lists. Other keywords tell submitters and are not
// looked at here.

const TYPES = {
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
};

// As deep as the parsers of most languages go. Without a limit, a text of brackets would exhaust the interpreter's stack.
export const MAX_DEPTH = 128;

/** How deep lists and objects lie within each other in a JSON text. A string without its end is one to the end of the text. */
export function depth(text) {
  let [here, deepest] = [0, 0];
  for (const [found] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"?|[[{\]}]/gs)) {
    if (found === "[" || found === "{") deepest = Math.max(deepest, ++here);
    else if (found === "]" || found === "}") here--;
  }
  return deepest;
}

/** The first fault, `{ message, pointer }` (RFC 6901), or null. */
export function check(schema, value, pointer = "") {
  if (schema === true || schema === undefined) return null;
  const fault = (message) => ({ message: `${named(pointer)} ${message}`, pointer });
  if (schema === false) return fault("is not allowed");
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.some((type) => TYPES[type]?.(value))) return fault(`must be ${types.join(" or ")}`);
  if (schema.enum && !schema.enum.some((one) => same(one, value))) {
    return fault(`must be one of ${schema.enum.map((one) => JSON.stringify(one)).join(", ")}`);
  }
  if ("const" in schema && !same(schema.const, value)) return fault(`must be ${JSON.stringify(schema.const)}`);
  const wrong = bounds(schema, value);
  if (wrong) return fault(wrong);
  if (Array.isArray(value)) return inList(schema, value, pointer);
  return TYPES.object(value) ? inObject(schema, value, pointer) : null;
}

function bounds(schema, value) {
  const size = typeof value === "string" ? [...value].length : value?.length;
  const [least, most, unit] = Array.isArray(value)
    ? [schema.minItems, schema.maxItems, "items"]
    : [schema.minLength, schema.maxLength, "characters"];
  if (typeof value === "number") {
    if (value < schema.minimum) return `must be at least ${schema.minimum}`;
    if (value > schema.maximum) return `must be at most ${schema.maximum}`;
    if (value <= schema.exclusiveMinimum) return `must be more than ${schema.exclusiveMinimum}`;
    if (value >= schema.exclusiveMaximum) return `must be less than ${schema.exclusiveMaximum}`;
  } else if (size < least) {
    return least === 1 ? "must not be empty" : `must have at least ${least} ${unit}`;
  } else if (size > most) {
    return `must have at most ${most} ${unit}`;
  } else if (typeof value === "string" && schema.pattern && !new RegExp(schema.pattern, "u").test(value)) {
    return `must match ${schema.pattern}`;
  }
  return null;
}

function inList(schema, value, pointer) {
  for (const [index, item] of value.entries()) {
    const fault = check(schema.items, item, `${pointer}/${index}`);
    if (fault) return fault;
  }
  return null;
}

function inObject(schema, value, pointer) {
  const properties = schema.properties ?? {};
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key)) return { message: `\`${key}\` is missing`, pointer };
  }
  for (const [key, item] of Object.entries(value)) {
    const known = Object.hasOwn(properties, key) ? properties[key] : schema.additionalProperties;
    const fault = check(known, item, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
    if (fault) return known === false ? { ...fault, message: `\`${key}\` is not known` } : fault;
  }
  return null;
}

function named(pointer) {
  const last = pointer.split("/").pop().replaceAll("~1", "/").replaceAll("~0", "~");
  return pointer ? `\`${last}\`` : "the input";
}

function same(a, b) {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
