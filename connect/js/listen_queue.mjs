// `listenQueue` over HTTP, for Deno and Node: KV Connect itself has no calls to receive messages.
// The calls are described in docs/queues.md. Copy this file into your program.
import { deserialize } from "node:v8";

const RETRY_MS = 100;
const RETRY_MS_MAX = 1_000;

/**
 * Calls `handler` with each message of a queue, one after the other, until `signal` is aborted. When
 * the handler returns, the message is finished; when it throws, the attempt has failed, and the
 * message comes again as its backoff schedule says. Call it several times for several messages at
 * once.
 *
 * @param {string} url what `openKv` is given
 * @param {string} accessToken
 * @param {(value: unknown, message: { attempt: number, isLastAttempt: boolean }) => unknown} handler
 * @param {{ queue?: string, leaseMs?: number, signal?: AbortSignal, onError?: (error: unknown) => void }} [options]
 * `leaseMs`: how long the handler may take before its attempt counts as failed, a minute if nothing
 * is said. `onError`: is told of failing handlers and of a server that cannot be reached, which is
 * tried again.
 */
export async function listenQueue(url, accessToken, handler, options = {}) {
  const { queue = "", leaseMs = 60_000, signal, onError = () => {} } = options;
  let session = null;
  const call = async (method, body, signal) => {
    session ??= await exchange(url, accessToken);
    const response = await fetch(`${session.endpoint}/queue/${method}`, {
      method: "POST", headers: session.headers, body: JSON.stringify(body), signal,
    });
    if (response.ok) return response;
    // A session has an end; the next call begins another.
    if (response.status === 401) session = null;
    const error = new Error(`${method}: ${response.status} ${await response.text()}`);
    throw Object.assign(error, { status: response.status });
  };
  // Says what became of a message until the server has heard it. It has an end with the lease, as far
  // as that is known here: then the attempt has failed, and the message comes again.
  const settle = async (message, ok, leasedUntil) => {
    for (let wait = RETRY_MS; ; wait = Math.min(2 * wait, RETRY_MS_MAX)) {
      try {
        await call("finish", { message, ok });
        return;
      } catch (error) {
        // Nothing becomes of it: the attempt is over, or what is said makes no sense. After an answer
        // that was lost, 410 may also mean that the server had heard it.
        const isFinal = error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);
        if (isFinal || Date.now() + wait > leasedUntil) throw error;
        onError(error);
        await sleep(wait);
      }
    }
  };
  while (!signal?.aborted) {
    try {
      const response = await call("receive", { queue, leaseMs }, signal);
      if (response.status === 204) continue;
      // It has begun a little earlier; to ask once too often does no harm.
      const leasedUntil = Date.now() + leaseMs;
      const header = (name) => response.headers.get(`x-icecore-${name}`);
      const value = decode(header("encoding"), new Uint8Array(await response.arrayBuffer()));
      const about = { attempt: Number(header("attempt")), isLastAttempt: header("last-attempt") === "true" };
      let ok = true;
      try {
        await handler(value, about);
      } catch (error) {
        ok = false;
        onError(error);
      }
      // What became of it is said also when nobody wants to hear of more.
      await settle(header("message"), ok, leasedUntil);
    } catch (error) {
      if (signal?.aborted) return;
      onError(error);
      await sleep(RETRY_MS_MAX);
    }
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function exchange(url, accessToken) {
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
    body: JSON.stringify({ supportedVersions: [3] }),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  const { token, databaseId, endpoints } = await response.json();
  const headers = {
    authorization: `Bearer ${token}`,
    "x-denokv-version": "3",
    "x-denokv-database-id": databaseId,
  };
  return { endpoint: new URL(endpoints[0].url, url).href, headers };
}

function decode(encoding, bytes) {
  if (encoding === "bytes") return bytes;
  if (encoding === "u64") return new DataView(bytes.buffer).getBigUint64(0, true);
  return deserialize(bytes);
}
