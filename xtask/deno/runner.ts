// Carries histories out in Deno's own store, each in an empty one in memory. Reads a history a
// line from standard input and writes for each a line with the outcomes of its steps.
//
// With the argument `--patient` a step that lets time pass waits until Deno has removed what has
// expired, which takes it up to 61 seconds; without, this program removes it once it has expired.

import { fromTagged, Tagged, toTagged } from "./tagged.ts";

type Stamp = { step: number } | { step: number; entry: number } | { now: Tagged[] } | {
  text: string;
} | null;
type Outcome =
  | { is: "commit"; stamp: string | null }
  | { is: "done" }
  | { is: "entries"; entries: EntryForm[]; cursor?: string }
  | { is: "delivered"; messages: { value: Tagged; attempt: number }[] }
  | { is: "error"; text: string };
type EntryForm = { key: Tagged[]; value: Tagged | null; stamp: string | null };
type Mutation = {
  kind: "set" | "delete" | "sum" | "min" | "max" | "setVersionstamped" | "enqueue";
  key?: Tagged[];
  value?: Tagged;
  expireIn?: number;
  delay?: number;
  backoff?: number[];
  keys?: Tagged[][];
  /** How often the handler refuses the message. */
  fails?: number;
};
// deno-lint-ignore no-explicit-any
type Step = { do: string; [field: string]: any };
type History = { seed: string; steps: Step[] };

/** Histories that are under way at the same time. The patient ones do little but wait. */
const PARALLEL = Deno.args.includes("--patient") ? 200 : 8;
/** What one step lets pass, at most, in milliseconds. */
const PASSING_MS = 1000;
/** What does not come within this time, in milliseconds, does not come. */
const DELIVERY_MS = 20_000;
const patient = Deno.args.includes("--patient");

class Run {
  readonly outcomes: Outcome[] = [];
  /** When a key expires, by the JSON of its tagged parts; what never does is not here. */
  readonly expiries = new Map<string, number>();
  /** What waits in the queue, by the JSON of its tagged payload. */
  readonly waiting = new Map<string, Mutation>();

  watched?: {
    keys: Deno.KvKey[];
    frames: ReadableStreamDefaultReader<Deno.KvEntryMaybe<unknown>[]>;
    frame: Deno.KvEntryMaybe<unknown>[];
  };

  constructor(readonly kv: Deno.Kv) {}

  async step(step: Step): Promise<Outcome> {
    switch (step.do) {
      case "get":
        return entries([await this.kv.get(parts(step.key))]);
      case "getMany":
        return entries(await this.kv.getMany(step.keys.map(parts)));
      case "set": {
        const options = step.expireIn === undefined ? undefined : { expireIn: step.expireIn };
        const { versionstamp } = await this.kv.set(
          parts(step.key),
          fromTagged(step.value),
          options,
        );
        this.note({ kind: "set", ...step }, versionstamp);
        return { is: "commit", stamp: versionstamp };
      }
      case "delete":
        await this.kv.delete(parts(step.key));
        this.note({ kind: "delete", key: step.key }, "");
        return { is: "done" };
      case "atomic":
        return await this.atomic(step);
      case "enqueue": {
        const { versionstamp } = await this.kv.enqueue(
          fromTagged(step.value),
          enqueueOptions(step as unknown as Mutation),
        );
        this.note({ kind: "enqueue", ...step }, versionstamp);
        return { is: "commit", stamp: versionstamp };
      }
      case "list":
        return await this.list(step);
      case "watch":
        return await this.watch(step.keys.map(parts));
      case "look":
        return await this.look(step.patience);
      case "pass":
        await this.pass();
        return { is: "done" };
      case "deliver":
        return await this.deliver();
    }
    throw new Error(`no step is called ${step.do}`);
  }

  async atomic(step: Step): Promise<Outcome> {
    const checks = [];
    for (const { key, stamp } of step.checks) {
      checks.push({ key: parts(key), versionstamp: await this.stamp(stamp) });
    }
    const atomic = this.kv.atomic().check(...checks);
    for (const mutation of step.mutations as Mutation[]) {
      const { kind } = mutation;
      const key = mutation.key && parts(mutation.key);
      const value = mutation.value && fromTagged(mutation.value);
      if (kind === "enqueue") {
        atomic.enqueue(value, enqueueOptions(mutation));
      } else if (kind === "delete") {
        atomic.mutate({ type: "delete", key: key! });
      } else if (kind === "set" || kind === "setVersionstamped") {
        const last = kind === "set" ? [] : [this.kv.commitVersionstamp()];
        const options = mutation.expireIn === undefined
          ? undefined
          : { expireIn: mutation.expireIn };
        atomic.set([...key!, ...last], value, options);
      } else {
        atomic.mutate({ type: kind, key: key!, value });
      }
    }
    const result = await atomic.commit();
    if (!result.ok) return { is: "commit", stamp: null };
    for (const mutation of step.mutations) this.note(mutation, result.versionstamp);
    return { is: "commit", stamp: result.versionstamp };
  }

  async list(step: Step): Promise<Outcome> {
    // A member that is there and undefined is as good as one that is not.
    const selector = {
      prefix: step.prefix && parts(step.prefix),
      start: step.start && parts(step.start),
      end: step.end && parts(step.end),
    };
    for (const name of ["prefix", "start", "end"] as const) {
      if (selector[name] === undefined) delete selector[name];
    }
    const { limit, reverse, batchSize, consistency } = step;
    const iterator = this.kv.list(selector as Deno.KvListSelector, {
      limit,
      reverse,
      batchSize,
      consistency,
      cursor: this.cursor(step.cursor),
    });
    const found: Deno.KvEntryMaybe<unknown>[] = [];
    while (step.take === undefined || found.length < step.take) {
      const { done, value } = await iterator.next();
      if (done) break;
      found.push(value);
    }
    return { ...entries(found, step.unordered), cursor: iterator.cursor };
  }

  /** Watches these keys instead of others; gives the first frame. */
  async watch(keys: Deno.KvKey[]): Promise<Outcome> {
    await this.watched?.frames.cancel();
    this.watched = undefined;
    const frames = this.kv.watch<unknown[]>(keys).getReader();
    const { value: frame = [] } = await frames.read();
    this.watched = { keys, frames, frame };
    return entries(frame);
  }

  /** The frame in which the watcher sees what is so, or the last one within this time. */
  async look(patience: number): Promise<Outcome> {
    if (this.watched === undefined) return { is: "done" };
    const { keys, frames } = this.watched;
    const stamps = (entries: Deno.KvEntryMaybe<unknown>[]) =>
      entries.map((entry) => entry.versionstamp).join();
    const present = stamps(await this.kv.getMany<unknown[]>(keys));
    const end = sleep(patience);
    while (stamps(this.watched.frame) !== present) {
      const next = await Promise.race([frames.read(), end]);
      if (!next?.value) break;
      this.watched.frame = next.value;
    }
    return entries(this.watched.frame);
  }

  /** Lets what expires soon expire. */
  async pass() {
    const soon = [...this.expiries].filter(([, at]) => at <= Date.now() + PASSING_MS);
    const last = Math.max(0, ...soon.map(([, at]) => at));
    if (last > Date.now()) await sleep(last - Date.now() + 5);
    for (const [text] of soon) {
      const key = parts(JSON.parse(text));
      this.expiries.delete(text);
      if (!patient) await this.kv.delete(key);
      while ((await this.kv.get(key)).versionstamp !== null) await sleep(20);
    }
  }

  /** Delivers everything that waits, until the handler or the schedule has had enough of it. */
  async deliver(): Promise<Outcome> {
    const messages: { value: Tagged; attempt: number }[] = [];
    const attempts = new Map<string, number>();
    const expected = [...this.waiting.values()].map(deliveries).reduce((sum, n) => sum + n, 0);
    // It ends when the store is closed.
    void this.kv.listenQueue((payload) => {
      const value = toTagged(payload);
      const text = JSON.stringify(value);
      const attempt = (attempts.get(text) ?? 0) + 1;
      attempts.set(text, attempt);
      messages.push({ value, attempt });
      if (attempt <= (this.waiting.get(text)?.fails ?? 0)) throw new Error("refused");
    });
    const patience = Date.now() + DELIVERY_MS;
    while (messages.length < expected && Date.now() < patience) await sleep(10);
    for (const message of this.waiting.values()) {
      if ((message.fails ?? 0) <= retries(message)) continue;
      for (const key of message.keys ?? []) {
        const isMissing = async () => (await this.kv.get(parts(key))).versionstamp === null;
        while (Date.now() < patience && await isMissing()) await sleep(10);
      }
    }
    this.waiting.clear();
    return { is: "delivered", messages };
  }

  async stamp(stamp: Stamp): Promise<string | null> {
    if (stamp === null) return null;
    if ("text" in stamp) return stamp.text;
    if ("now" in stamp) return (await this.kv.get(parts(stamp.now))).versionstamp;
    const outcome = this.outcomes[stamp.step];
    if ("entry" in stamp) {
      return outcome.is === "entries" ? outcome.entries[stamp.entry]?.stamp ?? null : null;
    }
    return outcome.is === "commit" ? outcome.stamp : null;
  }

  cursor(cursor: { step: number } | { text: string } | undefined): string | undefined {
    if (cursor === undefined) return undefined;
    if ("text" in cursor) return cursor.text;
    const outcome = this.outcomes[cursor.step];
    return outcome.is === "entries" ? outcome.cursor : undefined;
  }

  /** Notes what a mutation that took effect means for later steps. */
  note(mutation: Mutation, stamp: string) {
    if (mutation.kind === "enqueue") {
      const isSoon = (mutation.delay ?? 0) <= PASSING_MS;
      if (isSoon) this.waiting.set(JSON.stringify(mutation.value), mutation);
      return;
    }
    const last = mutation.kind === "setVersionstamped" ? [{ t: "string", v: stamp }] : [];
    const text = JSON.stringify([...mutation.key!, ...last]);
    this.expiries.delete(text);
    if (mutation.expireIn !== undefined) this.expiries.set(text, Date.now() + mutation.expireIn);
  }
}

function deliveries(message: Mutation): number {
  return Math.min(message.fails ?? 0, retries(message)) + 1;
}

function retries(message: Mutation): number {
  return message.backoff?.length ?? 5;
}

function enqueueOptions(message: Mutation) {
  return {
    delay: message.delay,
    backoffSchedule: message.backoff,
    keysIfUndelivered: message.keys?.map(parts),
  };
}

function parts(key: Tagged[]): Deno.KvKey {
  return key.map(fromTagged);
}

/** `unordered`: the entries have stamps whose order is not defined. */
function entries(found: Deno.KvEntryMaybe<unknown>[], unordered = false) {
  const form = (entry: Deno.KvEntryMaybe<unknown>): EntryForm => ({
    key: entry.key.map(toTagged),
    value: entry.versionstamp === null ? null : toTagged(entry.value),
    stamp: unordered ? null : entry.versionstamp,
  });
  return { is: "entries" as const, entries: found.map(form) };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function run(history: History): Promise<string> {
  const kv = await Deno.openKv(":memory:");
  const run = new Run(kv);
  for (const step of history.steps) {
    const outcome = await run.step(step).catch((error: Error): Outcome => ({
      is: "error",
      text: error.message,
    }));
    run.outcomes.push(outcome);
  }
  kv.close();
  return JSON.stringify({ seed: history.seed, outcomes: run.outcomes });
}

const lines = (await new Response(Deno.stdin.readable).text()).split("\n").filter((line) =>
  line !== ""
);
async function work() {
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    console.log(await run(JSON.parse(line)));
  }
}
await Promise.all(Array.from({ length: PARALLEL }, work));
// Timers that nobody waits for would keep the program.
Deno.exit();
