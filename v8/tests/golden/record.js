// Records what Node writes. Run it after an expression was added to expressions.txt:
//
//     node v8/tests/golden/record.js > v8/tests/golden/node.txt
//
// Every expression becomes two lines: itself, and the bytes. A third gives the bytes that V8 writes
// when it is left alone with typed arrays, as it is in Deno, if they are others.
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const v8 = require("node:v8");

function serializeAsDeno(value) {
  const serializer = new v8.Serializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  return serializer.releaseBuffer().toString("hex");
}

const text = readFileSync(join(__dirname, "expressions.txt"), "utf8");
console.log(`# Node ${process.versions.node}, V8 ${process.versions.v8}`);
for (const line of text.split("\n")) {
  if (line === "" || line.startsWith("#")) {
    console.log(line);
    continue;
  }
  const value = (0, eval)(`(${line})`);
  const node = v8.serialize(value).toString("hex");
  // The memory behind a Buffer is that of many.
  const deno = Buffer.isBuffer(value) ? node : serializeAsDeno(value);
  console.log(line);
  console.log(`  node ${node}`);
  if (deno !== node) {
    console.log(`  deno ${deno}`);
  }
}
