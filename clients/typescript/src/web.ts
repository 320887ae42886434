/** Connections by gRPC-Web, over `fetch`: for pages, and wherever there is no HTTP/2. */

import { errorOf, UnavailableError, type ShardstreamError } from "./errors.js";
import type { Call, Rpc, Transport } from "./rpc.js";

/** The status of gRPC that an answer without one counts as, by its HTTP status. */
const BY_HTTP = new Map([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
]);
const [CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL] = [1, 2, 4, 8, 13];
const HEAD = 5;
const LARGEST = 32 << 20;

/** Calls to one server. The browser keeps the connections. */
export class WebTransport implements Transport {
  readonly #base: string;

  constructor(
    url: string,
    private readonly send: typeof fetch,
  ) {
    this.#base = url.replace(/\/+$/, "");
  }

  open<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    metadata: Record<string, string>,
    timeout?: number,
  ): Call<Response> {
    const body = framed(rpc.encode(request));
    const headers = {
      ...metadata,
      "content-type": "application/grpc-web+proto",
      "x-grpc-web": "1",
      "x-user-agent": "shardstream-typescript-web/0.1.0",
      ...(timeout !== undefined && { "grpc-timeout": `${Math.ceil(timeout)}m` }),
    };
    return new WebCall(
      (signal) => this.send(this.#base + rpc.path, { method: "POST", headers, body, signal, cache: "no-store" }),
      rpc.decode,
      timeout,
    );
  }

  close(): void {
    // The browser closes what is idle.
  }
}

class WebCall<Message> implements Call<Message> {
  date: string | undefined;
  readonly #stop = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #answer: Promise<Response>;
  readonly #frames = new Frames();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #why = CANCELLED;

  constructor(
    send: (signal: AbortSignal) => Promise<Response>,
    private readonly decode: (bytes: Uint8Array) => Message,
    timeout: number | undefined,
  ) {
    this.#answer = send(this.#stop.signal);
    // Errors come from `next`; one that nobody waits for ends no program.
    this.#answer.catch(() => undefined);
    if (timeout !== undefined)
      this.#timer = setTimeout(() => {
        this.#why = DEADLINE_EXCEEDED;
        this.#stop.abort();
      }, timeout);
  }

  async next(): Promise<Message | undefined> {
    try {
      const frame = await this.#next();
      if (frame) return this.decode(frame);
    } catch (failed) {
      this.#end();
      if (this.#stop.signal.aborted) throw errorOf(this.#why, this.#why === CANCELLED ? "cancelled" : "took too long");
      // What `fetch` throws does not say more than this.
      if (failed instanceof TypeError) throw new UnavailableError(`no connection: ${failed.message}`, "UNAVAILABLE");
      throw failed;
    }
    this.#end();
    return undefined;
  }

  cancel(): void {
    this.#end();
    this.#stop.abort();
  }

  /** The next message's bytes; undefined behind a status that is OK. */
  async #next(): Promise<Uint8Array | undefined> {
    this.#reader ??= await this.#open();
    for (;;) {
      const frame = this.#frames.take();
      if (frame?.isTrailer) {
        const failed = failureOf(trailersOf(frame.bytes));
        if (failed) throw failed;
        return undefined;
      }
      if (frame) return frame.bytes;
      const { done, value } = await this.#reader.read();
      if (done) throw new UnavailableError("the connection ended without a status", "UNAVAILABLE");
      this.#frames.add(value);
    }
  }

  async #open(): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const answer = await this.#answer;
    this.date = answer.headers.get("date") ?? undefined;
    const failed = failureOf(answer.headers);
    if (failed) throw failed;
    if (!answer.ok || !answer.body)
      throw errorOf(BY_HTTP.get(answer.status) ?? UNKNOWN, `HTTP ${answer.status} ${answer.statusText}`);
    return answer.body.getReader();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#reader?.cancel().catch(() => undefined);
  }
}

/** The frames of an answer: messages, and at the end the trailers. */
class Frames {
  #bytes = new Uint8Array();

  add(more: Uint8Array): void {
    if (!this.#bytes.length) {
      this.#bytes = more as Uint8Array<ArrayBuffer>;
      return;
    }
    const all = new Uint8Array(this.#bytes.length + more.length);
    all.set(this.#bytes);
    all.set(more, this.#bytes.length);
    this.#bytes = all;
  }

  /** The next frame, once it is whole. */
  take(): { isTrailer: boolean; bytes: Uint8Array } | undefined {
    const bytes = this.#bytes;
    if (bytes.length < HEAD) return undefined;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
    if (length > LARGEST) throw errorOf(RESOURCE_EXHAUSTED, `a message of ${length} bytes`);
    if (bytes.length < HEAD + length) return undefined;
    const flags = bytes[0] ?? 0;
    if (flags & 1) throw errorOf(INTERNAL, "a message is compressed, and was not to be");
    this.#bytes = bytes.subarray(HEAD + length);
    return { isTrailer: (flags & 0x80) !== 0, bytes: bytes.subarray(HEAD, HEAD + length) };
  }
}

function framed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(HEAD + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, HEAD);
  return frame;
}

function trailersOf(bytes: Uint8Array): Map<string, string> {
  const lines = new TextDecoder().decode(bytes).split("\r\n");
  const pairs = lines.filter(Boolean).map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()] as const;
  });
  return new Map(pairs);
}

/** The error of a status, in headers or trailers; undefined where there is none, or it is OK. */
function failureOf(headers: { get(name: string): string | null | undefined }): ShardstreamError | undefined {
  const status = headers.get("grpc-status");
  if (!status || status === "0") return undefined;
  const details = headers.get("grpc-status-details-bin");
  const bytes = details ? Uint8Array.from(atob(details), (letter) => letter.charCodeAt(0)) : undefined;
  return errorOf(Number(status), unescaped(headers.get("grpc-message") ?? ""), bytes);
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
