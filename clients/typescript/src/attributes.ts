import { AttributeValue, ChangeRecord } from "./v1/shardstream/v1/record.js";
import type { Item, Numbers, Value } from "./values.js";
import { Field, Span } from "./wire.js";

/** The JavaScript value of one attribute. */
export function fromAttribute(raw: AttributeValue, numbers: Numbers = "exact"): Value {
  return Span.of(AttributeValue.encode(raw).finish()).value(numbers);
}

/** The JavaScript values of a map of attributes. */
export function fromAttributes(raw: Map<string, AttributeValue>, numbers: Numbers = "exact"): Item {
  const record = ChangeRecord.encode({ ...ChangeRecord.create(), key: raw }).finish();
  return Span.of(record).item(Field.KEY, numbers) ?? {};
}
