// JavaScript values as JSON that says of each what it is, to the last bit. The Rust side knows the
// same forms (xtask/src/deno_diff/tagged.rs). A value has one form: long runs of one byte or one
// character are written short, always.

// deno-lint-ignore no-explicit-any
export type Tagged = { t: string; [field: string]: any };

/** From this length on, what is all one byte or ASCII character is written as a run. */
const RUN_LENGTH = 65;

export function toTagged(value: unknown): Tagged {
  if (value === null) return { t: "null" };
  switch (typeof value) {
    case "undefined":
      return { t: "undefined" };
    case "boolean":
      return { t: "bool", v: value };
    case "number":
      return { t: "number", v: bitsOf(value) };
    case "bigint":
      return { t: "bigint", v: value.toString() };
    case "string":
      return textToTagged(value);
  }
  if (value instanceof Deno.KvU64) return { t: "u64", v: value.value.toString() };
  if (value instanceof Uint8Array) return bytesToTagged(value);
  if (value instanceof Date) return { t: "date", v: bitsOf(value.getTime()) };
  if (value instanceof RegExp) return { t: "regexp", source: value.source, flags: value.flags };
  if (value instanceof Map) {
    return { t: "map", v: [...value].map(([key, item]) => [toTagged(key), toTagged(item)]) };
  }
  if (value instanceof Set) return { t: "set", v: [...value].map(toTagged) };
  if (Array.isArray(value)) return { t: "array", v: value.map(toTagged) };
  if (Object.getPrototypeOf(value) === Object.prototype) {
    return { t: "object", v: Object.entries(value!).map(([key, item]) => [key, toTagged(item)]) };
  }
  throw new Error(`no tagged form for ${Deno.inspect(value)}`);
}

// deno-lint-ignore no-explicit-any
export function fromTagged(tagged: Tagged): any {
  switch (tagged.t) {
    case "undefined":
      return undefined;
    case "null":
      return null;
    case "bool":
      return tagged.v;
    case "number":
      return numberOf(tagged.v);
    case "bigint":
      return BigInt(tagged.v);
    case "string":
      return tagged.fill === undefined ? tagged.v : tagged.fill.repeat(tagged.len);
    case "u64":
      return new Deno.KvU64(BigInt(tagged.v));
    case "bytes":
      return tagged.fill === undefined
        ? fromHex(tagged.v)
        : new Uint8Array(tagged.len).fill(tagged.fill);
    case "date":
      return new Date(numberOf(tagged.v));
    case "regexp":
      return new RegExp(tagged.source, tagged.flags);
    case "map":
      return new Map(tagged.v.map((pair: [Tagged, Tagged]) => pair.map(fromTagged)));
    case "set":
      return new Set(tagged.v.map(fromTagged));
    case "array":
      return arrayOf(tagged.v);
    case "object":
      return Object.fromEntries(
        tagged.v.map(([key, item]: [string, Tagged]) => [key, fromTagged(item)]),
      );
  }
  throw new Error(`no value has the tag ${tagged.t}`);
}

/**
 * An array that V8 takes for one of anything. Of one that has only ever held numbers it writes all
 * in eight bytes each, even if they are integers.
 */
function arrayOf(items: Tagged[]): unknown[] {
  const array: unknown[] = [{}];
  array.length = 0;
  for (const item of items) array.push(fromTagged(item));
  return array;
}

function textToTagged(text: string): Tagged {
  if (text.length >= RUN_LENGTH && text[0] < "\x80" && text === text[0].repeat(text.length)) {
    return { t: "string", fill: text[0], len: text.length };
  }
  return { t: "string", v: text };
}

function bytesToTagged(bytes: Uint8Array): Tagged {
  if (bytes.length >= RUN_LENGTH && bytes.every((byte) => byte === bytes[0])) {
    return { t: "bytes", fill: bytes[0], len: bytes.length };
  }
  return { t: "bytes", v: toHex(bytes) };
}

/** All NaNs are one: a program in JavaScript cannot tell them apart. */
function bitsOf(number: number): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, number);
  return toHex(bytes);
}

function numberOf(bits: string): number {
  return new DataView(fromHex(bits).buffer).getFloat64(0);
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
