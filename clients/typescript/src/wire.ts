/**
 * Reads records straight from their bytes into JavaScript values, each part when it is asked for: objects of the
 * contract in between would cost five times as much, and decoding is most of what a consumer's processor does.
 * All else is read by generated code.
 */

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { AttributeValue, Meta } from "./v1/shardstream/v1/record.js";
import {
  BinarySet,
  type Item,
  NumberSet,
  numberOf,
  type Numbers,
  StringSet,
  UnknownValue,
  type Value,
} from "./values.js";

/** The fields of a ChangeRecord. */
export const enum Field {
  KEY = 1,
  NEW_IMAGE = 2,
  OLD_IMAGE = 3,
  META = 4,
}

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
/** Field 1 in wire type 2: where all responses have their records, and sets, lists and maps their members. */
const MEMBER = (1 << 3) | WireType.LengthDelimited;
const VALUE = (2 << 3) | WireType.LengthDelimited;

/** Reads a message; its records share it. */
class Reader extends BinaryReader {
  readonly data: Uint8Array;

  constructor(bytes: Uint8Array) {
    // Parts of a Buffer would be Buffers, which take longer to make.
    const data = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    super(data);
    this.data = data;
  }

  /** Passes a field that is not wanted. */
  pass(tag: number): void {
    this.skip(tag & 7);
  }

  /** Where the message that begins here ends. */
  end(): number {
    const length = this.uint32();
    const end = this.pos + length;
    if (end > this.len) throw new RangeError("a message goes on behind its end");
    return end;
  }
}

/** A part of a message. */
export class Span {
  constructor(
    private readonly reader: Reader,
    private readonly from: number,
    private readonly to: number,
  ) {}

  /** The whole of it. */
  static of(bytes: Uint8Array): Span {
    return new Span(new Reader(bytes), 0, bytes.length);
  }

  get bytes(): Uint8Array {
    return this.reader.data.subarray(this.from, this.to);
  }

  /** Whether both are the same bytes. */
  equals(other: Span): boolean {
    const [one, two] = [this.reader.data, other.reader.data];
    if (this.to - this.from !== other.to - other.from) return false;
    for (let here = this.from, there = other.from; here < this.to; here++, there++)
      if (one[here] !== two[there]) return false;
    return true;
  }

  /** Of a record: an image; undefined where there is none. */
  item(image: Field, numbers: Numbers): Item | undefined {
    let item: Item | undefined;
    this.#each(image, () => {
      entry(this.reader, (item ??= {}), numbers);
    });
    return item;
  }

  /** Of a record: the attributes of an image, undecoded. */
  attributes(image: Field): Map<string, Span> {
    const found = new Map<string, Span>();
    const { reader } = this;
    this.#each(image, () => {
      const end = reader.end();
      let name = "";
      let value = new Span(reader, end, end);
      while (reader.pos < end) {
        const tag = reader.uint32();
        if (tag === MEMBER) name = text(reader);
        else if (tag === VALUE) value = span(reader);
        else reader.pass(tag);
      }
      found.set(name, value);
    });
    return found;
  }

  /** Of a record: what it has beside its images. */
  meta(): Meta {
    let meta: Meta | undefined;
    this.#each(Field.META, () => (meta = Meta.decode(this.reader, this.reader.uint32())));
    return meta ?? Meta.create();
  }

  /** Of an attribute: its JavaScript value. */
  value(numbers: Numbers): Value {
    this.reader.pos = this.from;
    return value(this.reader, this.to, numbers);
  }

  #each(field: Field, read: () => void): void {
    const wanted = (field << 3) | WireType.LengthDelimited;
    const { reader, to } = this;
    reader.pos = this.from;
    while (reader.pos < to) {
      const tag = reader.uint32();
      if (tag === wanted) read();
      else reader.pass(tag);
    }
  }
}

/** The records of a response, and the response without them. */
export function split(bytes: Uint8Array): { records: Span[]; rest: Uint8Array } {
  const reader = new Reader(bytes);
  const records: Span[] = [];
  const others: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const tag = reader.uint32();
    if (tag === MEMBER) records.push(span(reader));
    else {
      reader.pass(tag);
      others.push(bytes.subarray(from, reader.pos));
    }
  }
  const rest = new Uint8Array(others.reduce((sum, one) => sum + one.length, 0));
  let length = 0;
  for (const one of others) {
    rest.set(one, length);
    length += one.length;
  }
  return { records, rest };
}

function span(reader: Reader): Span {
  const end = reader.end();
  const found = new Span(reader, reader.pos, end);
  reader.pos = end;
  return found;
}

function value(reader: Reader, end: number, numbers: Numbers): Value {
  const from = reader.pos;
  let found: Value | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag >>> 3) {
      case 1:
        found = text(reader);
        break;
      case 2:
        found = numberOf(text(reader), numbers);
        break;
      case 3:
        found = new Uint8Array(reader.bytes()); // A copy, which does not keep the whole message alive.
        break;
      case 4:
        found = new StringSet(members(reader, text));
        break;
      case 5:
        found = new NumberSet(members(reader, () => numberOf(text(reader), numbers) as number));
        break;
      case 6:
        found = new BinarySet(members(reader, () => new Uint8Array(reader.bytes())));
        break;
      case 7: {
        const item: Item = {};
        members(reader, () => {
          entry(reader, item, numbers);
        });
        found = item;
        break;
      }
      case 8:
        found = members(reader, () => value(reader, reader.end(), numbers));
        break;
      case 9:
        found = reader.bool() ? null : undefined;
        break;
      case 10:
        found = reader.bool();
        break;
      default:
        reader.pass(tag);
    }
  }
  return found === undefined ? new UnknownValue(AttributeValue.decode(reader.data.subarray(from, end))) : found;
}

/** One attribute of an item or a map. */
function entry(reader: Reader, item: Item, numbers: Numbers): void {
  const end = reader.end();
  let name = "";
  let found: Value | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === MEMBER) name = text(reader);
    else if (tag === VALUE) found = value(reader, reader.end(), numbers);
    else reader.pass(tag);
  }
  if (found === undefined) found = new UnknownValue(AttributeValue.create());
  // An own property, also one called so.
  if (name === "__proto__")
    Object.defineProperty(item, name, { value: found, enumerable: true, configurable: true, writable: true });
  else item[name] = found;
}

function members<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  const end = reader.end();
  const found: T[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === MEMBER) found.push(read(reader));
    else reader.pass(tag);
  }
  return found;
}

/** A text. Most are short and ASCII, and for those a decoder takes longer to call than to work. */
function text(reader: Reader): string {
  const end = reader.end();
  const { data, pos } = reader;
  reader.pos = end;
  if (end - pos > 24) return UTF8.decode(data.subarray(pos, end));
  let found = "";
  for (let here = pos; here < end; here++) {
    const byte = data[here] ?? 0;
    if (byte > 0x7f) return UTF8.decode(data.subarray(pos, end));
    found += String.fromCharCode(byte);
  }
  return found;
}
