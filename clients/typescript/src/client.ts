import { Bearer, type Credentials } from "./bearer.js";
import type { ShardstreamError } from "./errors.js";
import * as following from "./following.js";
import { type Batch, batchOf } from "./records.js";
import { type Call, RPCS, type Rpc, type Transport } from "./rpc.js";
import { Subscription } from "./subscription.js";
import type { Shard, ShardName } from "./v1/shardstream/v1/position.js";
import type { GetServerInfoResponse } from "./v1/shardstream/v1/server_service.js";
import {
  type GetRecordsRequest,
  type ListChildrenResponse,
  SeekOutcome,
  type ShardSession,
} from "./v1/shardstream/v1/shard_service.js";
import type { StreamDescription, StreamSummary, WatchShardsResponse } from "./v1/shardstream/v1/stream_service.js";
import type { Numbers } from "./values.js";

const { startOf, duration, unreadablePolicy, Backoff } = following;

/** What every connection can be told. */
export interface ClientOptions {
  /**
   * A bearer token, or a function that fetches one; it is called anew when the server refuses the token. Without TLS
   * they go to this machine only.
   */
  credentials?: Credentials;
  /** What becomes of numbers; "exact" unless given. */
  numbers?: Numbers;
  /** How long the client waits. */
  timing?: Partial<following.Timing>;
  /** What metrics and tracing want to know. */
  hooks?: following.Hooks;
  /** A server takes 100 calls on a connection; past so many (90) another one is opened. */
  callsPerConnection?: number;
}

/** How to read once. */
export interface ReadOptions {
  /** How long the server may wait for records, in milliseconds. */
  wait?: number;
  /** What to do with a record that cannot be read. */
  onUnreadable?: following.Policy;
  /** At most so many records. */
  maxRecords?: number;
  /** At most so many bytes of records. */
  maxBytes?: number;
}

/** A call's place on a connection. */
export interface Place {
  transport: Transport;
  leave(): void;
  failed(error: ShardstreamError): void;
}

/** A connection and what runs over it. A retired one takes no new calls and is closed by the last, or with the client. */
interface Lane {
  transport: Transport;
  calls: Set<{ cancel(): void }>;
  isRetired: boolean;
}

/** A call that closing the client ends. */
class Holder<A> {
  call: Call<A> | undefined;

  cancel(): void {
    this.call?.cancel();
  }
}

/** A server, over as many connections as its streams need. */
export class Client {
  /** @internal */
  readonly config: following.Config;
  readonly #bearer: Bearer;
  readonly #most: number;
  #lanes: Lane[] = [];
  readonly #stop = new AbortController();

  /** @internal */
  constructor(
    private readonly connectTo: () => Transport,
    isPrivate: boolean,
    options: ClientOptions,
  ) {
    const timing = { firstPause: 200, longestPause: 10_000, patience: 600_000, lasting: 10_000, leastHeartbeat: 1_000 };
    const { numbers = "exact", hooks = {} } = options;
    this.config = { numbers, hooks, timing: { ...timing, ...options.timing } };
    this.#bearer = new Bearer(options.credentials, isPrivate);
    this.#most = options.callsPerConnection ?? 90;
  }

  /** Every record of a stream, by its table's name or its ARN; goes on by itself when the connection breaks. */
  subscribe(stream = "", options: following.SubscribeOptions = {}): Subscription {
    return new Subscription(this, { stream }, options);
  }

  /** The records of one shard, as `subscribe` gives those of a stream. A token as `start` names its shard. */
  streamShard(stream = "", shardId = "", options: following.StreamShardOptions = {}): Subscription {
    return new Subscription(this, { shard: shardOf(stream, shardId) }, options);
  }

  /** The server's version, upstream, limits and defaults. */
  async serverInfo(): Promise<GetServerInfoResponse> {
    return this.unary(RPCS.getServerInfo, {});
  }

  /** The streams of one table, or all. */
  async listStreams(tableName = ""): Promise<StreamSummary[]> {
    return pages((pageToken) => this.unary(RPCS.listStreams, { tableName, pageToken }), "streams");
  }

  /** What a stream is. */
  async describeStream(stream: string): Promise<StreamDescription | undefined> {
    return (await this.unary(RPCS.describeStream, { stream })).description;
  }

  /** All shards of a stream. */
  async listShards(stream: string): Promise<Shard[]> {
    return pages((pageToken) => this.unary(RPCS.listShards, { stream, pageToken }), "shards");
  }

  /** A shard's children, and whether there can be more. */
  async listChildren(stream: string, shardId: string): Promise<ListChildrenResponse> {
    return this.unary(RPCS.listChildren, { target: targetOf(stream, shardId) });
  }

  /** A shard and its descendants, each with its depth. */
  async walkTree(stream: string, shardId: string): Promise<{ depth: number; shard: Shard | undefined }[]> {
    const rows = await this.#answer(RPCS.walkTree, { target: targetOf(stream, shardId) }, 60_000);
    return rows.map(({ depth, shard }) => ({ depth, shard }));
  }

  /**
   * How far the server has read each shard: all of them first, then each change. It goes on by itself when the connection
   * breaks: then all come again, and those that are gone by then are among the removed.
   */
  async *watchShards(stream: string): AsyncGenerator<WatchShardsResponse, void> {
    const [rpc, watched, backoff] = [RPCS.watchShards, new following.Watched(), new Backoff(this.config.timing)];
    for (let renewed = false; !this.#isClosed();) {
      watched.begin();
      backoff.opening();
      const metadata = await this.metadata(rpc.path);
      const holder = new Holder<WatchShardsResponse>();
      const place = this.take(holder);
      let error: ShardstreamError;
      try {
        holder.call = place.transport.open(rpc, rpc.request({ stream }), metadata);
        for (let row; (row = await holder.call.next());) {
          backoff.heard(true);
          renewed = false;
          yield watched.take(row);
        }
        return;
      } catch (failed) {
        error = failed as ShardstreamError;
        if (this.#isClosed()) return;
        place.failed(error);
      } finally {
        holder.cancel();
        place.leave();
      }
      if (!renewed && this.renews(error, metadata.authorization)) renewed = true;
      else await this.pause(error, backoff.pause(error), this.#stop.signal);
    }
  }

  /** One read of a shard without a session; `start: batch.token` reads on. */
  async getRecords(
    stream = "",
    shardId = "",
    { start = "TRIM_HORIZON", ...options }: ReadOptions & { start?: following.Start } = {},
  ): Promise<Batch> {
    const value = { shard: shardOf(stream, shardId), start: startOf(start) };
    return this.read({ source: { $case: "start", value } }, options);
  }

  /** A session: a cursor on one shard that the server keeps under a lease. */
  async openShard(stream = "", shardId = "", start: following.Start = ""): Promise<Session> {
    const answer = await this.unary(RPCS.openShard, { shard: shardOf(stream, shardId), start: startOf(start) });
    return new Session(this, answer.session);
  }

  /** Closes the connections, and with them all streams. */
  close(): void {
    this.#stop.abort();
    const lanes = this.#lanes;
    this.#lanes = [];
    for (const { transport, calls } of lanes) {
      for (const call of [...calls]) call.cancel();
      transport.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #isClosed(): boolean {
    return this.#stop.signal.aborted;
  }

  /** @internal */
  async read(fields: Partial<GetRecordsRequest>, options: ReadOptions): Promise<Batch> {
    const { wait = 0, onUnreadable, maxRecords = 0, maxBytes = 0 } = options;
    const limits = { maxRecords, maxBytes, wait: duration(wait), unreadablePolicy: unreadablePolicy(onUnreadable) };
    return batchOf(await this.unary(RPCS.getRecords, { ...fields, ...limits }, wait + 30_000), this.config.numbers);
  }

  /** One call, made again while its time lasts where that may help: a failed call has moved nothing. @internal */
  async unary<Q, A>(rpc: Rpc<Q, A>, fields: Partial<Q>, timeout = 60_000): Promise<A> {
    const [answer] = await this.#answer(rpc, fields, timeout);
    return answer as A;
  }

  /** All messages of one call's answer. */
  async #answer<Q, A>(rpc: Rpc<Q, A>, fields: Partial<Q>, timeout: number): Promise<A[]> {
    const request = rpc.request(fields);
    const backoff = new Backoff(this.config.timing, Math.min(timeout, this.config.timing.patience));
    for (let renewed = false; ;) {
      const metadata = await this.metadata(rpc.path);
      const holder = new Holder<A>();
      const place = this.take(holder);
      try {
        holder.call = place.transport.open(rpc, request, metadata, timeout);
        const answer: A[] = [];
        for (let message; (message = await holder.call.next());) answer.push(message);
        return answer;
      } catch (failed) {
        const error = failed as ShardstreamError;
        place.failed(error);
        if (!renewed && this.renews(error, metadata.authorization)) renewed = true;
        else await this.pause(error, backoff.pause(error), this.#stop.signal);
      } finally {
        place.leave();
      }
    }
  }

  /** Waits before a call is made again. @internal */
  async pause(error: ShardstreamError, pause: number, stop: AbortSignal): Promise<void> {
    this.config.hooks.resume?.(error, pause);
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        stop.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, pause);
      stop.addEventListener("abort", end);
      if (stop.aborted) end();
    });
  }

  /** Whether the credentials were refused and can be fetched anew. @internal */
  renews(error: ShardstreamError, authorization: string | undefined): boolean {
    return error.code === "UNAUTHENTICATED" && this.#bearer.renew(authorization);
  }

  /** @internal */
  async metadata(path: string): Promise<Record<string, string>> {
    const authorization = await this.#bearer.header();
    const traceparent = this.config.hooks.traceparent?.(path);
    return { ...(authorization && { authorization }), ...(traceparent && { traceparent }) };
  }

  /** @internal */
  take(call: { cancel(): void }): Place {
    if (this.#isClosed()) throw new TypeError("the client is closed");
    let lane = this.#lanes.find(({ calls, isRetired }) => !isRetired && calls.size < this.#most);
    if (!lane) this.#lanes.push((lane = { transport: this.connectTo(), calls: new Set(), isRetired: false }));
    const { transport, calls } = lane;
    calls.add(call);
    const leave = () => {
      calls.delete(call);
      if (calls.size || !lane.isRetired) return;
      this.#lanes = this.#lanes.filter((other) => other !== lane);
      transport.close();
    };
    // No new calls over a connection that may be dead, as an error says that is not the server's own.
    const failed = (error: ShardstreamError) => {
      if (!error.reason) lane.isRetired = true;
    };
    return { transport, leave, failed };
  }
}

/** A cursor on one shard that the server keeps under a lease, renewed by every call. */
export class Session {
  /** @internal */
  constructor(
    private readonly client: Client,
    /** Where the session stood at the last call. */
    public state: ShardSession | undefined,
  ) {}

  /** Names the session. */
  get leaseId(): string {
    return this.state?.lease?.leaseId ?? "";
  }

  /** The next records. If the answer is lost on its way the same records come again, none is skipped. */
  async read(options: ReadOptions = {}): Promise<Batch> {
    const source = { $case: "leaseId" as const, value: this.leaseId };
    return this.client.read({ source, requestId: crypto.randomUUID() }, options);
  }

  /** Moves to a position. */
  async jump(start: following.Start): Promise<void> {
    const answer = await this.client.unary(RPCS.jumpTo, { leaseId: this.leaseId, start: startOf(start) });
    this.state = answer.session;
  }

  /** The first records made at or after a time; the session stands after them. */
  async seek(time: Date, options: { maxRecords?: number; maxBytes?: number } = {}): Promise<Batch> {
    const target = { $case: "leaseId" as const, value: this.leaseId };
    const answer = await this.client.unary(RPCS.seekTo, { ...options, target, time }, 300_000);
    this.state = answer.session;
    const exhausted = answer.outcome === SeekOutcome.SHARD_ENDED;
    const atTip = answer.outcome === SeekOutcome.AT_TIP;
    return batchOf({ ...answer, exhausted, atTip, unreadable: [] }, this.client.config.numbers);
  }

  /** The records from where the session stands, as they arrive. */
  stream(options: following.StreamOptions = {}): Subscription {
    return new Subscription(this.client, { leaseId: this.leaseId }, options);
  }

  /** Where the session stands now. */
  async refresh(): Promise<ShardSession | undefined> {
    const answer = await this.client.unary(RPCS.getShardSession, { leaseId: this.leaseId });
    return (this.state = answer.session);
  }

  /** Renews the lease and does nothing else. */
  async renew(): Promise<void> {
    await this.client.unary(RPCS.renewLease, { leaseId: this.leaseId });
  }

  /** Ends the session. */
  async close(): Promise<void> {
    await this.client.unary(RPCS.closeShard, { leaseId: this.leaseId });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The field that names a shard; none where the token names it. */
function shardOf(stream: string, shardId: string): ShardName | undefined {
  return shardId ? { stream, shardId } : undefined;
}

function targetOf(stream: string, shardId: string) {
  return { $case: "shard" as const, value: { stream, shardId } };
}

async function pages<Name extends string, Row>(
  page: (pageToken: string) => Promise<Record<Name, Row[]> & { nextPageToken: string }>,
  name: Name,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (let token = ""; ;) {
    const answer = await page(token);
    rows.push(...answer[name]);
    if (!answer.nextPageToken) return rows;
    token = answer.nextPageToken;
  }
}
