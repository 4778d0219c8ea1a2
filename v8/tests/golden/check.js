// Reads lines of an expression, a tab and bytes in hexadecimal, and fails unless each expression
// is what Node reads from its bytes.
"use strict";
const { deepStrictEqual } = require("node:assert");
const { readFileSync } = require("node:fs");
const v8 = require("node:v8");

let count = 0;
for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const [expression, hex] = line.split("\t");
  const expected = (0, eval)(`(${expression})`);
  const read = v8.deserialize(Buffer.from(hex, "hex"));
  // No other value is unlike itself.
  if (expected instanceof Date && Number.isNaN(expected.getTime())) {
    deepStrictEqual(read.getTime(), NaN);
    continue;
  }
  deepStrictEqual(read, expected, `${expression} from ${hex}`);
  if (expected instanceof Error) {
    deepStrictEqual(read.stack, expected.stack);
  }
  count += 1;
}
console.log(`${count} values`);
