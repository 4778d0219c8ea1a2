// Records what Node writes. Run it after an expression was added to expressions.txt:
//
//     node v8/tests/golden/record.js > v8/tests/golden/node.txt
//
// Every expression becomes two lines: itself, and the bytes.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const v8 = require("node:v8");

const text = readFileSync(join(__dirname, "expressions.txt"), "utf8");
console.log(`# Node ${process.versions.node}, V8 ${process.versions.v8}`);
for (const line of text.split("\n")) {
  if (line === "" || line.startsWith("#")) {
    console.log(line);
    continue;
  }
  const value = (0, eval)(`(${line})`);
  console.log(line);
  console.log(`  ${v8.serialize(value).toString("hex")}`);
}
