/** Options, requests, how far a stream has come, when to come again. Nothing here waits. */

import { milliseconds, mayPass, type ShardstreamError } from "./errors.js";
import { ChangeRecord, eventOf, type Gap, type Message, type RawMessage, type Unreadable } from "./records.js";
import { RPCS, type Rpc } from "./rpc.js";
import type { TokenStore } from "./stores.js";
import type { Duration } from "./v1/google/protobuf/duration.js";
import { type End, EndReason, GapPolicy, UnreadablePolicy } from "./v1/shardstream/v1/events.js";
import { IteratorType, Position, type ShardName } from "./v1/shardstream/v1/position.js";
import { RecordOrder, type WatchShardsResponse } from "./v1/shardstream/v1/stream_service.js";
import type { Numbers } from "./values.js";

/**
 * Where to start: "TRIM_HORIZON" (the oldest record that is kept), "LATEST" (what is written from now on), a time,
 * a place in a shard (`atSequenceNumber`, `afterSequenceNumber`), or a position that was kept.
 */
export type Start = "TRIM_HORIZON" | "LATEST" | (string & {}) | Date | Position;

/** The first record of a shard that is numbered `number` or more. */
export function atSequenceNumber(number: string): Position {
  return { iteratorType: IteratorType.AT_SEQUENCE_NUMBER, sequenceNumber: number, time: undefined };
}

/** The first record of a shard that is numbered more than `number`. */
export function afterSequenceNumber(number: string): Position {
  return { iteratorType: IteratorType.AFTER_SEQUENCE_NUMBER, sequenceNumber: number, time: undefined };
}

/** How long the client waits, in milliseconds. */
export interface Timing {
  /** Pauses between attempts double from the first (200) to the longest (10,000); half of each is drawn by lot. */
  firstPause: number;
  longestPause: number;
  /** Give up when attempts have failed for so long (600,000), with no sign in between that the server is well. */
  patience: number;
  /** After a stream has lived so long (10,000) the next pause is the first again. */
  lasting: number;
  /** The shortest heartbeat interval that the server grants (1,000); three without a message count as silence. */
  leastHeartbeat: number;
}

/** What metrics and tracing want to know. All must be quick. */
export interface Hooks {
  /** The W3C `traceparent` to send with a call. */
  traceparent?(method: string): string | undefined;
  /** A message is about to be given to the program. */
  message?(message: Message): void;
  /** A call failed and is made again after `pause` milliseconds. */
  resume?(error: ShardstreamError, pause: number): void;
}

/** What all calls of a client have in common. */
export interface Config {
  numbers: Numbers;
  timing: Timing;
  hooks: Hooks;
}

/** What to do about a loss: "fail" throws, "continue" gives it as an event and goes on. */
export type Policy = "fail" | "continue";

/** How to follow a shard. */
export interface StreamOptions {
  /** What to do when records are gone: "fail" (the default) throws a `RecordsTrimmedError` with the token that goes on. */
  onGap?: Policy;
  /** What to do with a record that cannot be read: "fail" (the default) throws a `RecordUnreadableError`. */
  onUnreadable?: Policy;
  /** How often the server shows that it is there, in milliseconds; 10,000 unless given. */
  heartbeatInterval?: number;
  /** Whether to give heartbeats too. */
  heartbeats?: boolean;
  /** When to end: after so many records, before a time, or when everything is read that is there. */
  until?: { recordCount?: number; time?: Date; atTip?: boolean };
  /** At most so many records in one message. */
  maxBatchRecords?: number;
  /** At most so many bytes of records in one message. */
  maxBatchBytes?: number;
  /** Ends the stream; the loop throws the signal's reason then. `Subscription.cancel` ends it without. */
  signal?: AbortSignal;
}

/** Where to follow a shard from. */
export interface StreamShardOptions extends StreamOptions {
  /** Where to start when the store is empty; "TRIM_HORIZON" unless given. */
  start?: Start;
  /** Keeps the position, each time your code came back for more. Delivery is at least once. */
  store?: TokenStore;
}

/** How to follow a stream. */
export interface SubscribeOptions extends StreamShardOptions {
  /** In which order records of different shards come. */
  order?: RecordOrder;
  /** With `RecordOrder.BY_TIME`: how long one shard may hold the others, in milliseconds. */
  mergeWait?: number;
  /** How often tokens are sent while they are much of what is sent, in milliseconds. */
  checkpointInterval?: number;
}

/** What a stream of records is read from. */
export type Source = { stream: string } | { shard: ShardName | undefined } | { leaseId: string };

/** How far a stream has come, and which records must not be given a second time. */
export class Progress {
  static readonly MOST_SHARD_TOKENS = 10_000;
  token: string;
  /** The newest token of each shard that came after `token`. */
  readonly #tokens: Map<string, string>;
  /** The last sequence number given of each shard since `token`, and the ids of the changes that bear it. */
  readonly #given = new Map<string, { number: string; ids: Set<string> }>();
  /** The same as of the last resume: until a shard has passed it, its records may be repeats. */
  readonly #repeats = new Map<string, { number: string; ids: Set<string> }>();

  constructor(position = "") {
    const [token = "", ...tokens] = position.split(/\s+/).filter(Boolean);
    this.token = token;
    this.#tokens = new Map(tokens.map((one) => [one, one]));
  }

  /** The text that goes on after everything that is covered. Empty before the first token. */
  get position(): string {
    return [this.token, ...this.tokens].filter(Boolean).join(" ");
  }

  /** The tokens of shards to send beside the stream's. */
  get tokens(): string[] {
    return this.token ? [...this.#tokens.values()].slice(0, Progress.MOST_SHARD_TOKENS) : [];
  }

  /** The program is done with this message: its tokens count from now on. */
  cover(raw: RawMessage): void {
    if (raw.token) {
      this.token = raw.token;
      this.#tokens.clear();
      this.#given.clear();
    } else if (raw.shardToken) {
      const event = raw.event;
      const isLoss = event?.$case === "gap" || event?.$case === "unreadable";
      this.#tokens.set(isLoss ? event.value.shardId : raw.shardId, raw.shardToken);
    }
  }

  /** The records of a shard that were not given before; they count as given from now on. */
  give(shardId: string, records: ChangeRecord[]): ChangeRecord[] {
    const fresh = this.#repeats.has(shardId) ? records.filter((record) => !this.#isRepeat(record)) : records;
    const last = fresh.at(-1)?.sequenceNumber;
    if (last) {
      const before = this.#given.get(shardId);
      const ids = before?.number === last ? before.ids : new Set<string>();
      // Streams that are not AWS's may give several records one number.
      for (let at = fresh.length - 1; fresh[at]?.sequenceNumber === last; at--) ids.add(fresh[at]?.id ?? "");
      this.#given.set(shardId, { number: last, ids });
    }
    return fresh;
  }

  /** A new stream begins. The server repeats nothing when it honours all tokens; this is for when it cannot. */
  resume(): void {
    for (const [shardId, given] of this.#given) this.#repeats.set(shardId, given);
  }

  #isRepeat({ shardId, sequenceNumber, id }: ChangeRecord): boolean {
    const last = this.#repeats.get(shardId);
    if (!last || !sequenceNumber) return false;
    const [number, before] = [BigInt(sequenceNumber), BigInt(last.number)];
    if (number > before) this.#repeats.delete(shardId);
    return number < before || (number === before && last.ids.has(id));
  }
}

/** The shards that a watch has told of, across all its connections. */
export class Watched {
  #known = new Set<string>();
  /** Of a new connection: what was known before it and was not told again yet. */
  readonly #before = new Set<string>();

  /** A connection is opened: it tells of all shards again, and not of those that went away meanwhile. */
  begin(): void {
    for (const id of this.#known) this.#before.add(id);
    this.#known = new Set();
  }

  /** The message; the last one of the first round has what went away among the removed. */
  take(row: WatchShardsResponse): WatchShardsResponse {
    for (const { shard } of row.shards) {
      this.#known.add(shard?.shardId ?? "");
      this.#before.delete(shard?.shardId ?? "");
    }
    for (const id of row.removedShardIds) {
      this.#known.delete(id);
      this.#before.delete(id);
    }
    if (!row.complete || !this.#before.size) return row;
    const removedShardIds = [...row.removedShardIds, ...[...this.#before].sort()];
    this.#before.clear();
    return { ...row, removedShardIds };
  }
}

/** When to come again. */
export class Backoff {
  #next: number;
  #opened = performance.now();
  #failingSince: number | undefined;

  constructor(
    private readonly timing: Timing,
    private readonly patience = timing.patience,
  ) {
    this.#next = timing.firstPause;
  }

  /** A stream is being opened. */
  opening(): void {
    this.#opened = performance.now();
  }

  /** A message came; `served`: it shows that the server is well. */
  heard(served: boolean): void {
    if (served) this.#failingSince = undefined;
    if (served || performance.now() - this.#opened > this.timing.lasting) this.#next = this.timing.firstPause;
  }

  /** How long to wait before the next attempt. Throws what must not be repeated, or was for too long. */
  pause(error: ShardstreamError): number {
    const now = performance.now();
    const delay = error.retryDelay ?? 0;
    this.#failingSince ??= now;
    if (!mayPass(error) || now - this.#failingSince + delay > this.patience) throw error;
    const pause = this.#next * (0.5 + Math.random() / 2);
    this.#next = Math.min(this.#next * 2, this.timing.longestPause);
    return Math.max(pause, delay);
  }
}

/** One stream of records across all its connections: makes requests, takes messages, decides what happens next. */
export class Following {
  progress = new Progress();
  readonly rpc: Rpc<unknown, RawMessage>;
  readonly #backoff: Backoff;
  #start: Date | Position | undefined;
  #count = 0;
  #losses: (Gap | Unreadable)[] = [];
  #end: End | undefined;
  #newest = "";
  #served = false;

  constructor(
    private readonly config: Config,
    private readonly source: Source,
    private readonly options: SubscribeOptions,
  ) {
    const rpc = "stream" in source ? RPCS.subscribe : RPCS.streamRecords;
    this.rpc = rpc as Rpc<unknown, RawMessage>;
    this.#backoff = new Backoff(config.timing);
    this.startAt(options.start ?? ("leaseId" in source ? "" : "TRIM_HORIZON"));
  }

  /** Starts there; an empty text changes nothing. */
  startAt(start: Start): void {
    const place = placeOf(start);
    if (typeof place !== "string") this.#start = place;
    else if (place) this.progress = new Progress(place);
  }

  /** Whether the limit that the program set is met. Asking for none that are left would be asking for all. */
  get isMet(): boolean {
    const most = this.options.until?.recordCount;
    return most !== undefined && most > 0 && most <= this.#count;
  }

  /** After how many milliseconds without a message the connection counts as dead. */
  get silence(): number {
    return 3 * Math.max(this.#interval, this.config.timing.leastHeartbeat);
  }

  get #interval(): number {
    return this.options.heartbeatInterval ?? 10_000;
  }

  /** The request that goes on from here. */
  request(): unknown {
    this.progress.resume();
    this.#backoff.opening();
    [this.#losses, this.#end, this.#newest, this.#served] = [[], undefined, "", false];
    const { onGap, onUnreadable, until, mergeWait, checkpointInterval, order } = this.options;
    const policies = { gapPolicy: gapPolicy(onGap), unreadablePolicy: unreadablePolicy(onUnreadable) };
    const limits = {
      maxBatchRecords: this.options.maxBatchRecords ?? 0,
      maxBatchBytes: this.options.maxBatchBytes ?? 0,
      heartbeatInterval: duration(this.#interval),
      until: until && {
        time: until.time,
        atTip: until.atTip ?? false,
        recordCount: until.recordCount ? until.recordCount - this.#count : 0,
      },
    };
    const start = startOf(this.progress.token || this.#start);
    if ("leaseId" in this.source) {
      const source = { $case: "leaseId" as const, value: this.source.leaseId };
      return RPCS.streamRecords.request({ ...limits, ...policies, source, token: this.progress.token });
    }
    if ("shard" in this.source) {
      const source = { $case: "start" as const, value: { shard: this.source.shard, start } };
      return RPCS.streamRecords.request({ ...limits, ...policies, source });
    }
    const more = {
      mergeWait: duration(mergeWait),
      checkpointInterval: duration(checkpointInterval),
      order: order ?? RecordOrder.UNSPECIFIED,
    };
    const place = { stream: this.source.stream, start, shardTokens: this.progress.tokens };
    return RPCS.subscribe.request({ ...limits, ...policies, ...more, ...place });
  }

  /** The message for the program; undefined when there is nothing in it for a program. That is covered at once. */
  take(raw: RawMessage): Message | undefined {
    const kind = raw.event?.$case;
    const isWell = raw.event?.$case === "heartbeat" && !raw.event.value.upstreamError;
    this.#backoff.heard(raw.records.length > 0 || isWell);
    this.#newest = raw.token || this.#newest;
    if (raw.event?.$case === "end") this.#end = raw.event.value;
    else this.#served = true;
    const event = eventOf(raw.event);
    const mustFail =
      (event?.kind === "gap" && this.options.onGap !== "continue") ||
      (event?.kind === "unreadable" && this.options.onUnreadable !== "continue");
    if (mustFail) {
      // Not covered, nor is what follows: whoever starts again is told of the loss again, until it is accepted.
      this.#losses.push(event);
      return undefined;
    }
    const records = raw.records.map((span) => new ChangeRecord(span, raw.shardId, this.config.numbers));
    const fresh = this.progress.give(raw.shardId, records);
    const isQuiet = event === undefined || (kind === "heartbeat" && !this.options.heartbeats);
    if (isQuiet && !fresh.length) {
      this.cover(raw);
      return undefined;
    }
    this.#count += fresh.length;
    const message = { shardId: raw.shardId, records: fresh, event, token: raw.token };
    this.config.hooks.message?.(message);
    return message;
  }

  /** The program is done with this message. */
  cover(raw: RawMessage): void {
    if (!this.#losses.length) this.progress.cover(raw);
  }

  /** How long to wait before going on; throws what must not be repeated, with the token that goes on. */
  again(error: ShardstreamError): number {
    error.losses = this.#losses;
    error.retryDelay = milliseconds(this.#end?.retryDelay) ?? error.retryDelay;
    // The token of the last message stands behind the loss; what is covered stands before it.
    error.token ||= this.#losses.length ? this.#newest : this.progress.position;
    const pause = this.#backoff.pause(error);
    return this.#served && this.#end?.reason === EndReason.MAX_AGE ? (error.retryDelay ?? 0) : pause;
  }

  /** LATEST was found when the stream was opened. If it breaks before its first token the next one starts then. */
  anchor(date: string | undefined): void {
    const isLatest = this.#start && "iteratorType" in this.#start && this.#start.iteratorType === IteratorType.LATEST;
    if (date && isLatest && !this.progress.token) this.#start = new Date(Date.parse(date) - 3000);
  }
}

/** A start without its short names: a text is a token. */
function placeOf(start: Start): string | Date | Position {
  const named = start === "LATEST" ? IteratorType.LATEST : IteratorType.TRIM_HORIZON;
  const isNamed = start === "LATEST" || start === "TRIM_HORIZON";
  return isNamed ? { iteratorType: named, sequenceNumber: "", time: undefined } : start;
}

/** The arm `start` of a request, without the tokens of single shards. */
export function startOf(start: Start | undefined) {
  const place = placeOf(start ?? "");
  if (typeof place === "string") {
    const [token] = place.split(/\s+/);
    return token ? { $case: "token" as const, value: token } : undefined;
  }
  const atTime = { iteratorType: IteratorType.AT_TIMESTAMP, sequenceNumber: "" };
  return { $case: "position" as const, value: place instanceof Date ? { ...atTime, time: place } : place };
}

function isFail(policy: Policy = "fail"): boolean {
  if (!["fail", "continue"].includes(policy)) throw new TypeError(`a policy is "fail" or "continue"`);
  return policy === "fail";
}

function gapPolicy(policy?: Policy): GapPolicy {
  return isFail(policy) ? GapPolicy.FAIL : GapPolicy.CONTINUE;
}

/** What a request says of records that cannot be read. */
export function unreadablePolicy(policy?: Policy): UnreadablePolicy {
  return isFail(policy) ? UnreadablePolicy.FAIL : UnreadablePolicy.SKIP;
}

/** A duration of the contract. */
export function duration(milliseconds: number): Duration;
export function duration(milliseconds: number | undefined): Duration | undefined;
export function duration(milliseconds: number | undefined): Duration | undefined {
  if (milliseconds === undefined) return undefined;
  const seconds = Math.trunc(milliseconds / 1000);
  return { seconds, nanos: Math.round((milliseconds - seconds * 1000) * 1e6) };
}
