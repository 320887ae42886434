import type { Client, Place } from "./client.js";
import { ShardstreamError, UnavailableError } from "./errors.js";
import { Following, type Source, type SubscribeOptions } from "./following.js";
import type { Message, RawMessage } from "./records.js";
import type { Call } from "./rpc.js";
import type { TokenStore } from "./stores.js";

/** The messages of a stream or shard, in a `for await` loop. Leaving the loop ends it at once. */
export class Subscription implements AsyncIterableIterator<Message, undefined, void> {
  readonly #following: Following;
  readonly #store: TokenStore | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #stop = new AbortController();
  readonly #onAbort = () => {
    this.cancel();
  };
  #call: Call<RawMessage> | undefined;
  #place: Place | undefined;
  #bearer: string | undefined;
  /** What the program has, and may not be done with. */
  #given: RawMessage | undefined;
  #kept = "";
  #loaded = false;
  #renewed = false;
  #pending = false;

  /** @internal */
  constructor(
    private readonly client: Client,
    source: Source,
    options: SubscribeOptions,
  ) {
    this.#following = new Following(client.config, source, options);
    this.#store = options.store;
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#onAbort);
  }

  /** Goes on after everything that your code is done with; on any server, in any process. */
  get position(): string {
    return this.#following.progress.position;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next message. To ask for it is to be done with the one before. One call at a time. */
  async next(): Promise<IteratorResult<Message, undefined>> {
    if (this.#pending) throw new TypeError("next() was called before the last next() was settled");
    this.#pending = true;
    try {
      const value = await this.#next();
      if (value) return { done: false, value };
      this.cancel();
      return { done: true, value: undefined };
    } catch (failed) {
      this.cancel();
      throw failed;
    } finally {
      this.#pending = false;
    }
  }

  /** Leaves the loop: what your code did not come back from is not done with. */
  async return(): Promise<IteratorResult<Message, undefined>> {
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Ends the stream at once, from anywhere; the loop over it ends. */
  cancel(): void {
    this.#stop.abort();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#drop();
  }

  async #next(): Promise<Message | undefined> {
    if (this.#given) this.#following.cover(this.#given);
    this.#given = undefined;
    for (;;) {
      this.#signal?.throwIfAborted();
      if (this.#isClosed()) return undefined;
      await this.#keep();
      let raw: RawMessage | undefined;
      try {
        raw = await this.#read(this.#call ?? (await this.#open()));
      } catch (failed) {
        if (this.#isClosed()) continue;
        if (!(failed instanceof ShardstreamError)) throw failed;
        if (this.#following.isMet) return undefined;
        await this.#again(failed);
        continue;
      }
      if (!raw) return undefined;
      this.#renewed = false;
      const message = this.#following.take(raw);
      if (message) {
        this.#given = raw;
        return message;
      }
    }
  }

  async #open(): Promise<Call<RawMessage>> {
    if (this.#store && !this.#loaded) {
      this.#kept = await this.#store.load();
      this.#following.startAt(this.#kept);
      this.#loaded = true;
    }
    const { rpc } = this.#following;
    const metadata = await this.client.metadata(rpc.path);
    this.#stop.signal.throwIfAborted();
    this.#bearer = metadata.authorization;
    this.#place = this.client.take(this);
    return (this.#call = this.#place.transport.open(rpc, this.#following.request(), metadata));
  }

  /** The next message; silence counts as a broken connection, while the program waits for it. */
  async #read(call: Call<RawMessage>): Promise<RawMessage | undefined> {
    const { silence } = this.#following;
    let silent: UnavailableError | undefined;
    const timer = setTimeout(() => {
      silent = new UnavailableError(`nothing came for ${silence} ms, not even a heartbeat`, "UNAVAILABLE");
      call.cancel();
    }, silence);
    try {
      return await call.next();
    } catch (failed) {
      throw silent ?? failed;
    } finally {
      clearTimeout(timer);
    }
  }

  async #keep(): Promise<void> {
    if (!this.#store || !this.#loaded || this.position === this.#kept) return;
    const { position } = this;
    await this.#store.save(position);
    this.#kept = position;
  }

  async #again(error: ShardstreamError): Promise<void> {
    this.#following.anchor(this.#call?.date);
    this.#place?.failed(error);
    this.#drop();
    if (!this.#renewed && this.client.renews(error, this.#bearer)) {
      this.#renewed = true;
      return;
    }
    await this.client.pause(error, this.#following.again(error), this.#stop.signal);
  }

  #isClosed(): boolean {
    return this.#stop.signal.aborted;
  }

  #drop(): void {
    this.#call?.cancel();
    this.#place?.leave();
    this.#call = this.#place = undefined;
  }
}
