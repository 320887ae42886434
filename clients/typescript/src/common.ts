export { Client, type ClientOptions, type ReadOptions, Session } from "./client.js";
export type { Credentials } from "./bearer.js";
export {
  type Code,
  ShardstreamError,
  InvalidRequestError,
  InvalidTokenError,
  NotFoundError,
  LeaseNotFoundError,
  RecordsTrimmedError,
  RecordUnreadableError,
  NotPositionedError,
  AccessDeniedError,
  UnauthenticatedError,
  SupersededError,
  LimitReachedError,
  UnavailableError,
  DeadlineExceededError,
} from "./errors.js";
export {
  afterSequenceNumber,
  atSequenceNumber,
  type Hooks,
  type Policy,
  type Start,
  type StreamOptions,
  type StreamShardOptions,
  type SubscribeOptions,
  type Timing,
} from "./following.js";
export { type Batch, ChangeRecord, type Gap, type Message, type StreamEvent, type Unreadable } from "./records.js";
export { DynamoDbTokenStore, type DynamoDbDocument, MemoryTokenStore, type TokenStore } from "./stores.js";
export { Subscription } from "./subscription.js";
export { RecordOrder } from "./v1/shardstream/v1/stream_service.js";
export {
  BinarySet,
  type Item,
  type Numbers,
  NumberSet,
  NumberText,
  StringSet,
  toAttribute,
  toAttributes,
  UnknownValue,
  type Value,
} from "./values.js";
export { fromAttribute, fromAttributes } from "./attributes.js";
