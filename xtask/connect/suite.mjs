// What a program of Deno or of Node sees of a store that is served. The same file runs in both:
//   suite.mjs COMMAND URL [ARGUMENT]
// with the access token in DENO_KV_ACCESS_TOKEN. It writes a line for each thing that holds, and
// ends with an error at the first that does not.

const isDeno = typeof Deno !== "undefined";
const [command, url, argument] = isDeno ? Deno.args : process.argv.slice(2);
const npm = isDeno ? null : await import("@deno/kv");
const KvU64 = isDeno ? Deno.KvU64 : npm.KvU64;
const accessToken = isDeno ? null : process.env.DENO_KV_ACCESS_TOKEN;
const open = () => isDeno ? Deno.openKv(url) : npm.openKv(url, { accessToken });

/** What a value is, as a text in which nothing is lost that both programs have. */
function shown(value) {
  if (value === null || typeof value === "undefined" || typeof value === "boolean") return `${value}`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof KvU64) return `u64 ${value.value}`;
  if (value instanceof Date) return `Date ${value.getTime()}`;
  if (value instanceof RegExp) return `${value}`;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (Array.isArray(value)) return `[${Array.from(value, shown).join(", ")}]`;
  if (value instanceof Map) return `Map {${[...value].map(([k, v]) => `${shown(k)} => ${shown(v)}`)}}`;
  if (value instanceof Set) return `Set {${[...value].map(shown)}}`;
  if (value instanceof ArrayBuffer) return `ArrayBuffer ${[...new Uint8Array(value)]}`;
  if (ArrayBuffer.isView(value)) {
    // Node's Buffer is an Uint8Array for everybody else.
    const name = value instanceof Uint8Array ? "Uint8Array" : value.constructor.name;
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return `${name} ${[...bytes]}`;
  }
  return `{${Object.entries(value).map(([k, v]) => `${k}: ${shown(v)}`).join(", ")}}`;
}

function holds(what, found, expected) {
  if (found !== expected) throw new Error(`${what}: ${found} is not ${expected}`);
  console.log(`holds: ${what}`);
}

/** Holds that `call` fails with a text that contains one of `texts`. */
async function fails(what, call, ...texts) {
  let text = "nothing was refused";
  try {
    await call();
  } catch (error) {
    text = error.message;
  }
  if (!texts.some((known) => text.includes(known))) throw new Error(`${what}: ${text}`);
  console.log(`holds: ${what}`);
}

/** Every type of value that both programs know. */
function values() {
  const bytes = new Uint8Array([0, 1, 127, 128, 255, 0, 7, 9]);
  const views = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array,
    Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView];
  const cyclic = { name: "a" };
  return {
    undefined: undefined, null: null, true: true, false: false,
    zero: 0, minusZero: -0, int: 41, negative: -42, large: 2 ** 40, float: 0.1, nan: NaN, infinite: -Infinity,
    bigint: 5n, negativeBigint: -(2n ** 64n), largeBigint: 2n ** 200n,
    empty: "", latin: "naïve", text: "日本語 😀", long: "x".repeat(60_000),
    date: new Date(1_700_000_000_123), regexp: /a+b/gi, error: new RangeError("too far"),
    array: [1, [2, "three"], null], object: { a: 1, b: { c: [true] } }, nothing: {},
    map: new Map([["k", 1], [2, new Map()]]), set: new Set([1, "two", 3n]),
    bytes, noBytes: new Uint8Array(), buffer: bytes.buffer,
    u64: new KvU64(2n ** 64n - 1n), u64zero: new KvU64(0n),
    ...Object.fromEntries(views.map((View) => [`in an object: ${View.name}`, { view: new View(bytes.buffer.slice(0)) }])),
    views: views.map((View) => new View(bytes.buffer.slice(0))),
    shared: [cyclic, cyclic], partOfBuffer: { view: bytes.subarray(2, 5) },
  };
}

async function write(kv) {
  for (const [name, value] of Object.entries(values())) await kv.set(["value", argument, name], value);
  console.log(`holds: ${Object.keys(values()).length} values are written`);
}

async function read(kv) {
  for (const [name, value] of Object.entries(values())) {
    const found = await kv.get(["value", argument, name]);
    if (found.versionstamp === null) throw new Error(`${name} is not there`);
    if (shown(found.value) !== shown(value)) {
      throw new Error(`${name}: ${shown(found.value).slice(0, 300)} is not ${shown(value).slice(0, 300)}`);
    }
  }
  console.log(`holds: ${Object.keys(values()).length} values of ${argument} are read`);
}

/** Moves `amount`, whoever else moves money at the same time. */
async function transferFunds(kv, from, to, amount) {
  const [senderKey, receiverKey] = [["account", from], ["account", to]];
  for (let done = false; !done;) {
    const [sender, receiver] = await kv.getMany([senderKey, receiverKey]);
    if (sender.value === null || receiver.value === null) throw new Error("unknown account");
    if (sender.value.value < amount) return 0;
    const result = await kv.atomic()
      .check(sender, receiver)
      .set(senderKey, new KvU64(sender.value.value - amount))
      .set(receiverKey, new KvU64(receiver.value.value + amount))
      .commit();
    done = result.ok;
  }
  return 1;
}

/** Four agents, each with a connection of its own, transfer between eight accounts. */
async function agents() {
  const agent = async (number) => {
    const kv = await open();
    let [state, made] = [number * 7919 + (isDeno ? 1 : 2), 0];
    const below = (n) => (state = (state * 48271) % 2147483647) % n;
    for (let round = 0; round < Number(argument); round++) {
      const from = below(8);
      made += await transferFunds(kv, from, (from + 1 + below(7)) % 8, BigInt(below(50)));
    }
    kv.close();
    return made;
  };
  const made = await Promise.all([1, 2, 3, 4].map(agent));
  console.log(`holds: four agents made ${made.reduce((a, b) => a + b)} transfers`);
}

async function accounts(kv) {
  for (let number = 0; number < 8; number++) await kv.set(["account", number], new KvU64(1000n));
  console.log("holds: eight accounts have 1000 each");
}

async function lists(kv) {
  const root = ["list", isDeno ? "deno" : "node"];
  for (let n = 1; n <= 9; n++) await kv.set([...root, n], n);
  await kv.set([...root, 5, "below"], 55);
  const key = (...parts) => [...root, ...parts];
  const list = async (what, selector, options, expected) => {
    const found = [];
    for await (const entry of kv.list(selector, options)) found.push(entry.value);
    holds(`list: ${what}`, found.join(), expected);
  };
  const all = "1,2,3,4,5,55,6,7,8,9";
  const reversed = "9,8,7,6,55,5,4,3,2,1";
  await list("prefix", { prefix: root }, {}, all);
  await list("prefix, in batches", { prefix: root }, { batchSize: 3 }, all);
  await list("prefix, reversed, in batches", { prefix: root }, { reverse: true, batchSize: 2 }, reversed);
  await list("prefix and start", { prefix: root, start: key(5) }, {}, "5,55,6,7,8,9");
  await list("prefix and end", { prefix: root, end: key(5) }, {}, "1,2,3,4");
  await list("start and end", { start: key(3), end: key(6) }, {}, "3,4,5,55");
  await list("start and end, reversed", { start: key(3), end: key(6) }, { reverse: true }, "55,5,4,3");
  await list("start and end alike", { start: key(3), end: key(3) }, {}, "");
  await list("limit", { prefix: root }, { limit: 4 }, "1,2,3,4");
  await list("limit, reversed", { prefix: root }, { limit: 4, reverse: true }, "9,8,7,6");
  await list("eventual", { prefix: root }, { consistency: "eventual" }, all);
  const first = kv.list({ prefix: root }, { limit: 3 });
  for await (const _ of first);
  await list("on from a cursor", { prefix: root }, { cursor: first.cursor, limit: 4 }, "4,5,55,6");
  const last = kv.list({ prefix: root }, { limit: 3, reverse: true });
  for await (const _ of last);
  await list("back from a cursor", { prefix: root }, { cursor: last.cursor, limit: 2, reverse: true }, "6,55");
}

async function watches(kv) {
  const [a, b] = ["a", "b"].map((name) => ["watch", isDeno ? "deno" : "node", name]);
  await kv.set(a, 1);
  const reader = kv.watch([a, b]).getReader();
  /** Frames until one is as expected; a later one may stand for several. */
  const until = async (what, expected) => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`watch: ${what}: it has ended`);
      if (value.map((entry) => entry.value).join() === expected) return console.log(`holds: watch: ${what}`);
    }
  };
  await until("the first frame", "1,");
  await kv.set(b, 2);
  await until("a key is set", "1,2");
  await kv.atomic().delete(a).set(b, 3).commit();
  await until("two keys change together", ",3");
  for (let n = 0; n < 50; n++) await kv.set(a, n);
  await until("the last of many changes", "49,3");
  const other = await open();
  await other.set(a, "by another");
  await until("a change by another connection", "by another,3");
  other.close();
  await kv.set(b, "short", { expireIn: 300 });
  await until("a value that expires is there", "by another,short");
  await until("it expires", "by another,");
  await reader.cancel();
}

async function expiry(kv) {
  const key = ["expiry", isDeno ? "deno" : "node"];
  await kv.set(key, "here", { expireIn: 400 });
  const due = Date.now() + 400;
  holds("expiry: it is there before", (await kv.get(key)).value, "here");
  while (Date.now() < due + 100) await new Promise((resolve) => setTimeout(resolve, 5));
  holds("expiry: it is gone 100 ms after", (await kv.get(key)).value, null);
  const { ok } = await kv.atomic().check({ key, versionstamp: null }).set(key, "again").commit();
  holds("expiry: a check finds nothing", ok, true);
}

async function atomics(kv) {
  const key = (n) => ["atomic", isDeno ? "deno" : "node", n];
  const entries = [];
  for (let n = 0; n < 100; n++) {
    await kv.set(key(n), n);
    entries.push(await kv.get(key(n)));
  }
  const hundred = await kv.atomic().check(...entries).set(key("done"), true).commit();
  holds("a hundred checks", hundred.ok, true);
  await kv.set(key(50), "changed");
  holds("one of a hundred fails", (await kv.atomic().check(...entries).set(key(1), 0).commit()).ok, false);
  await fails("101 checks", () => kv.atomic().check(...entries, entries[0]).commit(),
    "Too many checks");
  await kv.delete(key("n"));
  await kv.atomic().sum(key("n"), 2n ** 64n - 1n).sum(key("n"), 8n).max(key("n"), 3n).min(key("n"), 5n).commit();
  holds("sum, max and min", shown((await kv.get(key("n"))).value), "u64 5");
  await fails("a sum of text", () => kv.atomic().set(key("x"), 1).sum(key(50), 1n).commit(),
    "Failed to perform 'sum' mutation on a non-U64 value in the database");
  holds("nothing of it remains", (await kv.get(key("x"))).value, null);
  const { versionstamp } = await kv.set(key("v"), 1);
  const unknown = versionstamp.slice(0, 16) + "0001";
  const checked = await kv.atomic().check({ key: key("v"), versionstamp: unknown }).commit();
  holds("a versionstamp that was never given", checked.ok, false);
  await kv.atomic().set(key("late"), 1).delete(key("late")).commit();
  holds("in their order", (await kv.get(key("late"))).versionstamp, null);
}

async function limits(kv) {
  const key = ["limit"];
  const long = ["k".repeat(2046)];
  await kv.set(["k".repeat(2045)], 1);
  console.log("holds: a key of 2,047 bytes");
  await fails("a key of 2,049 bytes", () => kv.set(["k".repeat(2047)], 1),
    "Key too large for write (max 2048 bytes)", "A key exceeds the key size limit.");
  await kv.set(long, new Uint8Array(65_536));
  holds("the largest entry", (await kv.get(long)).value.length, 65_536);
  await fails("a value of 65,537 bytes", () => kv.set(key, new Uint8Array(65_537)),
    "Value too large (max 65536 bytes)", "A value exceeds the value size limit.");
  const many = (count) => {
    const atomic = kv.atomic();
    for (let n = 0; n < count; n++) atomic.set(["many", n], n);
    return atomic.commit();
  };
  holds("1,000 mutations", (await many(1000)).ok, true);
  await fails("1,001 mutations", () => many(1001), "Too many mutations");
  const heavy = () => {
    const atomic = kv.atomic();
    for (let n = 0; n < 13; n++) atomic.set(["heavy", n], new Uint8Array(65_536));
    return atomic.commit();
  };
  await fails("800 KiB and more", heavy,
    "Total mutation size too large (max 819200 bytes)", "The total size of the atomic write is too large.");
  const keys = Array.from({ length: 11 }, (_, n) => ["many", n]);
  await fails("getMany of 11 keys", () => kv.getMany(keys), "Too many ranges (max 10)",
    "Too many read ranges requested in one read request.");
}

async function enqueue(kv) {
  await kv.enqueue({ from: "node", view: new Uint8Array([1, 2]) }, { delay: 0 });
  console.log("holds: a message is sent");
}

/** What was enqueued is received, and comes again when it was not dealt with. */
async function queue() {
  const { listenQueue } = await import("./listen_queue.mjs");
  const token = isDeno ? Deno.env.get("DENO_KV_ACCESS_TOKEN") : process.env.DENO_KV_ACCESS_TOKEN;
  const [end, seen] = [new AbortController(), []];
  const handler = (value, { attempt }) => {
    seen.push(`${shown(value)} ${attempt}`);
    if (attempt === 1) throw new Error("not yet");
    end.abort();
  };
  await listenQueue(url, token, handler, { signal: end.signal });
  holds("a message is received, and again", seen.join("; "), '{from: "node", view: Uint8Array 1,2} 1; {from: "node", view: Uint8Array 1,2} 2');
}

/** Writes that go on while the server is killed and started again. */
async function journal(kv) {
  let next = 0;
  const writer = async () => {
    while (next < Number(argument)) {
      const number = ++next;
      await kv.set(["journal", number], number);
      console.log(`acknowledged ${number}`);
    }
  };
  await Promise.all([1, 2, 3, 4].map(writer));
}

const commands = { journal, queue, write, read, agents, accounts, lists, watches, expiry, atomics, limits, enqueue };
const kv = await open();
try {
  await commands[command](kv);
} finally {
  kv.close();
}
