// Keeps a ledger in Deno's own store. Reads transfers, a line each, from standard input, and
// writes what became of them and the bytes of all balances. The argument is what every account
// holds at first. The Rust side of the same is xtask/src/deno_diff/transfers.rs.

type Transfer = { from: string; to: string; amount: number };
class UnknownAccount extends Error {}
class InsufficientFunds extends Error {}

/** Moves `amount`, whoever else moves money at the same time. */
async function transferFunds(kv: Deno.Kv, from: string, to: string, amount: bigint) {
  const [senderKey, receiverKey] = [["account", from], ["account", to]];
  for (let done = false; !done;) {
    const [sender, receiver] = await kv.getMany<[Deno.KvU64, Deno.KvU64]>([senderKey, receiverKey]);
    if (sender.value === null || receiver.value === null) throw new UnknownAccount();
    if (sender.value.value < amount) throw new InsufficientFunds();
    const result = await kv.atomic()
      .check(sender, receiver)
      .set(senderKey, new Deno.KvU64(sender.value.value - amount))
      .set(receiverKey, new Deno.KvU64(receiver.value.value + amount))
      .commit();
    done = result.ok;
  }
}

/** As the store holds it: eight bytes, little-endian. */
function storedBytes(balance: Deno.KvU64): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, balance.value, true);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const kv = await Deno.openKv(":memory:");
for (const name of ["alice", "bob", "carol", "dave", "eve"]) {
  await kv.set(["account", name], new Deno.KvU64(BigInt(Deno.args[0])));
}
let [unknown, insufficient] = [0, 0];
const input = await new Response(Deno.stdin.readable).text();
for (const line of input.split("\n").filter((line) => line !== "")) {
  const { from, to, amount }: Transfer = JSON.parse(line);
  try {
    await transferFunds(kv, from, to, BigInt(amount));
  } catch (error) {
    if (error instanceof UnknownAccount) unknown++;
    else if (error instanceof InsufficientFunds) insufficient++;
    else throw error;
  }
}
console.log(`${unknown} to or from nobody, ${insufficient} too large`);
for await (const { key, value } of kv.list<Deno.KvU64>({ prefix: ["account"] })) {
  console.log(`${JSON.stringify(key).replace(",", ", ")} ${storedBytes(value)}`);
}
kv.close();
