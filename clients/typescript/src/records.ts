/** What a stream gives: records, and what happened to them. */

import type { GetRecordsResponse } from "./v1/shardstream/v1/shard_service.js";
import type { SubscribeResponse } from "./v1/shardstream/v1/stream_service.js";
import * as events from "./v1/shardstream/v1/events.js";
import * as records from "./v1/shardstream/v1/record.js";
import { canonical, type Item, type Numbers, type Value } from "./values.js";
import { Field, Span } from "./wire.js";

/** A response as it came: its records are undecoded. */
export type Packed<Response> = Omit<Response, "records"> & { records: Span[] };

/** A message of Subscribe, or of StreamRecords, which has fewer events. */
export type RawMessage = Packed<SubscribeResponse>;

/** One change of one item. Values are made when they are first asked for. */
export class ChangeRecord {
  #key: Item | undefined;
  #new: Item | null | undefined;
  #old: Item | null | undefined;
  #meta: records.Meta | undefined;

  /** @internal */
  constructor(
    private readonly span: Span,
    /** The shard that holds the record. */
    readonly shardId = "",
    private readonly numbers: Numbers = "exact",
  ) {}

  /** The message as it came. */
  get raw(): records.ChangeRecord {
    return records.ChangeRecord.decode(this.span.bytes);
  }

  /** What AWS says of the change. */
  get meta(): records.Meta {
    return (this.#meta ??= this.span.meta());
  }

  /** The item's primary key. */
  get key(): Item {
    return (this.#key ??= this.span.item(Field.KEY, this.numbers) ?? {});
  }

  /** The item after the change. Undefined when it was removed, or the stream does not carry this image. */
  get newImage(): Item | undefined {
    if (this.#new === undefined) this.#new = this.span.item(Field.NEW_IMAGE, this.numbers) ?? null;
    return this.#new ?? undefined;
  }

  /** The item before the change. Undefined when it was inserted, or the stream does not carry this image. */
  get oldImage(): Item | undefined {
    if (this.#old === undefined) this.#old = this.span.item(Field.OLD_IMAGE, this.numbers) ?? null;
    return this.#old ?? undefined;
  }

  /** `INSERT`, `MODIFY`, `REMOVE`, or AWS's own word for a kind that came later. */
  get type(): string {
    const { change } = this.meta;
    return change?.name || word(records.ChangeType, change?.type);
  }

  /** AWS's id of the change: the same whenever the record is read again. Empty when AWS gave none. */
  get id(): string {
    return this.meta.change?.id ?? "";
  }

  /** The record's place in its shard: digits, to be compared as a BigInt. */
  get sequenceNumber(): string {
    return this.meta.sequenceNumber;
  }

  /** When the change was made, to the second. Undefined when AWS did not say. */
  get createdAt(): Date | undefined {
    return this.meta.createdAt;
  }

  /** Whether time to live deleted the item, and no writer. */
  get byTimeToLive(): boolean {
    return this.meta.userIdentity?.principalId === "dynamodb.amazonaws.com";
  }

  /**
   * The attributes that differ, each with its old and new value; undefined where an image does not have it.
   * Throws unless the stream carries both images.
   */
  changed(): Map<string, [old: Value | undefined, new: Value | undefined]> {
    const view = this.meta.streamViewType;
    if (view !== records.StreamViewType.UNSPECIFIED && view !== records.StreamViewType.NEW_AND_OLD_IMAGES)
      throw new TypeError("the stream does not carry both images: its view type is not NEW_AND_OLD_IMAGES");
    const [old, now] = [this.span.attributes(Field.OLD_IMAGE), this.span.attributes(Field.NEW_IMAGE)];
    const found = new Map<string, [Value | undefined, Value | undefined]>();
    for (const name of new Set([...old.keys(), ...now.keys()])) {
      const pair = [old.get(name), now.get(name)] as const;
      if (!same(...pair)) found.set(name, [pair[0]?.value(this.numbers), pair[1]?.value(this.numbers)]);
    }
    return found;
  }
}

/** Records are gone (`certain`), or may be. */
export interface Gap {
  kind: "gap";
  shardId: string;
  /** `TRIMMED`, `SHARD_EXPIRED`, `STREAM_REPLACED`, or `UNKNOWN` for one that came later. */
  cause: string;
  certain: boolean;
  afterSequenceNumber: string;
  beforeSequenceNumber: string;
  afterTime: Date | undefined;
  detectedTime: Date | undefined;
}

/** One record that cannot be read, in its place between the others. */
export interface Unreadable {
  kind: "unreadable";
  shardId: string;
  sequenceNumber: string;
  afterSequenceNumber: string;
  cause: string;
}

/** What happened, other than records. */
export type StreamEvent =
  | Gap
  | Unreadable
  | ({ kind: "shardOpen" } & events.ShardOpen)
  | ({ kind: "shardEnd" } & events.ShardEnd)
  | ({ kind: "streamEnd" } & events.StreamEnd)
  | ({ kind: "heartbeat" } & events.Heartbeat);

/** Records of one shard, or one event. */
export interface Message {
  shardId: string;
  records: ChangeRecord[];
  event: StreamEvent | undefined;
  /** The server's token, which covers everything up to here. Empty when none was due; see `Subscription.position`. */
  token: string;
}

/** The answer of one read. Records or `exhausted`, never both. */
export interface Batch {
  records: ChangeRecord[];
  token: string;
  /** Whether the shard has ended and all of it was read. */
  exhausted: boolean;
  /** Whether everything was read that was there. */
  atTip: boolean;
  unreadable: Unreadable[];
}

/** The event of a message. */
export function eventOf(raw: RawMessage["event"]): StreamEvent | undefined {
  if (!raw || raw.$case === "end") return undefined;
  switch (raw.$case) {
    case "gap":
      return { ...plain(raw.value), kind: "gap", cause: word(events.GapCause, raw.value.cause) || "UNKNOWN" };
    default:
      return { kind: raw.$case, ...plain(raw.value) } as StreamEvent;
  }
}

/** The answer of a read. */
export function batchOf(
  answer: Packed<Omit<GetRecordsResponse, "observedTime" | "repeated">>,
  numbers: Numbers,
): Batch {
  const shardId = answer.session?.shardId ?? "";
  const { token, exhausted, atTip } = answer;
  return {
    records: answer.records.map((span) => new ChangeRecord(span, shardId, numbers)),
    ...{ token, exhausted, atTip },
    unreadable: answer.unreadable.map((raw) => ({ kind: "unreadable", ...plain(raw) })),
  };
}

/** A message of the contract without what this release does not know of it. */
function plain<T extends { _unknownFields?: unknown }>(message: T): Omit<T, "_unknownFields"> {
  const copy = { ...message };
  delete copy._unknownFields;
  return copy;
}

/** The name of an enum's value. Empty for UNSPECIFIED and for values that came later. */
function word(names: Record<number, string>, value = 0): string {
  return value > 0 ? (names[value] ?? "") : "";
}

/** Whether two attributes are equal for DynamoDB. Most are equal in every byte; sets and maps may come in any order. */
function same(one: Span | undefined, other: Span | undefined): boolean {
  if (!one || !other) return one === other;
  return one.equals(other) || order(one) === order(other);
}

function order({ bytes }: Span): string {
  return canonical(records.AttributeValue.decode(bytes));
}
