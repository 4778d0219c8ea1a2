// Stores entries in a file of Deno's own store, and writes the bytes in which keys and values
// stand there. Reads the entries from standard input, a line each; the argument is the file.

import { DatabaseSync } from "node:sqlite";
import { fromTagged } from "./tagged.ts";

const [path] = Deno.args;
const kv = await Deno.openKv(path);
const input = await new Response(Deno.stdin.readable).text();
const lines = input.split("\n").filter((line) => line !== "");
for (const [index, line] of lines.entries()) {
  const { key, value } = JSON.parse(line);
  // The first part keeps the entries in their order.
  await kv.set([index, ...key.map(fromTagged)], fromTagged(value));
}
kv.close();

const database = new DatabaseSync(path, { readOnly: true });
const toHex = (bytes: Uint8Array) => bytes.toHex();
for (const { k, v, v_encoding } of database.prepare("select * from kv order by k").iterate()) {
  const [key, value] = [k as Uint8Array, v as Uint8Array].map(toHex);
  console.log(JSON.stringify({ key, encoding: v_encoding, value }));
}
database.close();
