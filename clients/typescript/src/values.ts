/** DynamoDB values as JavaScript values, and back, without loss. */

import { type AttributeValue } from "./v1/shardstream/v1/record.js";

/** A number as the text that DynamoDB sends: one that no `number` or `bigint` holds, or any with `numbers: "text"`. */
export class NumberText {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
  toJSON(): string {
    return this.text;
  }
}

/** DynamoDB's SS. A class of its own, so that an empty set keeps its type. */
export class StringSet extends Set<string> {}
/** DynamoDB's NS. */
export class NumberSet extends Set<number | bigint | NumberText> {}
/** DynamoDB's BS. */
export class BinarySet extends Set<Uint8Array> {}

/** A value of a type that this release does not know. */
export class UnknownValue {
  constructor(
    /** All of it. */
    readonly raw: AttributeValue,
  ) {}
}

/** A DynamoDB value. */
export type Value =
  | string
  | number
  | bigint
  | NumberText
  | boolean
  | null
  | Uint8Array
  | Set<string>
  | Set<number | bigint | NumberText>
  | Set<Uint8Array>
  | Value[]
  | UnknownValue
  | Item;

/** A DynamoDB item, or a map in one. */
export interface Item {
  [name: string]: Value;
}

/**
 * What becomes of numbers.
 * "exact": `number` where that is the same number, else `bigint`, else `NumberText`. "text": always `NumberText`.
 * Or a function that makes a number of its text.
 */
export type Numbers = "exact" | "text" | ((text: string) => unknown);

/** The number of its text. */
export function numberOf(text: string, numbers: Numbers): Value {
  if (typeof numbers === "function") return numbers(text) as Value;
  if (numbers === "text") return new NumberText(text);
  const number = Number(text);
  if (String(number) === text) return number;
  if (/^-?\d+$/.test(text)) {
    const whole = BigInt(text);
    if (String(whole) === text) return whole;
  }
  return new NumberText(text);
}

/** The attribute of a JavaScript value; the reverse of `fromAttribute`. */
export function toAttribute(value: Value): AttributeValue {
  if (value === null) return { value: { $case: "nullValue", value: true } };
  if (typeof value === "string") return { value: { $case: "s", value } };
  if (typeof value === "boolean") return { value: { $case: "boolValue", value } };
  if (typeof value === "number" || typeof value === "bigint" || value instanceof NumberText)
    return { value: { $case: "n", value: textOf(value) } };
  if (value instanceof Uint8Array) return { value: { $case: "b", value } };
  if (Array.isArray(value)) return { value: { $case: "l", value: { values: value.map(toAttribute) } } };
  if (value instanceof Set) return setOf(value);
  if (value instanceof UnknownValue) return value.raw;
  const prototype: unknown = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== null)
    throw new TypeError(`DynamoDB has no type for ${describe(value)}`);
  return { value: { $case: "m", value: { entries: toAttributes(value) } } };
}

/** The attributes of an item. */
export function toAttributes(item: Item): Map<string, AttributeValue> {
  return new Map(Object.entries(item).map(([name, value]) => [name, toAttribute(value)]));
}

/** Equal texts for attributes that are equal for DynamoDB. */
export function canonical(raw: AttributeValue): string {
  const value = raw.value;
  if (!value)
    return `?${JSON.stringify(Object.entries(raw._unknownFields ?? {}).map(([tag, parts]) => [tag, parts.map(String)]))}`;
  switch (value.$case) {
    case "m": {
      const entries = [...value.value.entries].map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`);
      return `m{${entries.sort().join()}}`;
    }
    case "l":
      return `l[${value.value.values.map(canonical).join()}]`;
    case "ss":
    case "ns":
      return value.$case + JSON.stringify([...value.value.values].sort());
    case "bs":
      return `bs${value.value.values.map(String).sort().join(";")}`;
    default:
      return value.$case + JSON.stringify(String(value.value));
  }
}

function textOf(value: number | bigint | NumberText): string {
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`DynamoDB has no number ${value}`);
  return String(value);
}

function setOf(value: Set<unknown>): AttributeValue {
  const members = [...value];
  if (value instanceof StringSet || (members.length && members.every((one) => typeof one === "string")))
    return { value: { $case: "ss", value: { values: members as string[] } } };
  if (value instanceof BinarySet || (members.length && members.every((one) => one instanceof Uint8Array)))
    return { value: { $case: "bs", value: { values: members as Uint8Array[] } } };
  const isNumber = (one: unknown) => typeof one === "number" || typeof one === "bigint" || one instanceof NumberText;
  if (value instanceof NumberSet || (members.length && members.every(isNumber)))
    return { value: { $case: "ns", value: { values: members.map((one) => textOf(one as number)) } } };
  throw new TypeError("a set for DynamoDB has strings, numbers or bytes, one of these; an empty one needs its class");
}

function describe(value: unknown): string {
  return typeof value === "object" ? (value?.constructor.name ?? "null") : typeof value;
}
