/** What calls throw: one class for each thing that a program may want to do about it. */

import type { Gap, Unreadable } from "./records.js";
import { ErrorInfo, RetryInfo } from "./v1/google/rpc/error_details.js";
import { Status } from "./v1/google/rpc/status.js";
import type { Duration } from "./v1/google/protobuf/duration.js";

const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** The names of gRPC's status codes. */
export type Code = (typeof CODES)[number];

/** A call failed. */
export class ShardstreamError extends Error {
  /** The server's values for this reason. */
  metadata: Record<string, string> = {};
  /** How long the server wants to be left alone, in milliseconds. */
  retryDelay: number | undefined;
  /** Where to go on; empty when there is nothing to go on from. */
  token = "";
  /** What was lost, where that is the cause. */
  losses: readonly (Gap | Unreadable)[] = [];

  constructor(
    message: string,
    /** The status. */
    readonly code: Code = "UNKNOWN",
    /** The server's reason: docs/errors.md explains each. Empty when the server gave none. */
    readonly reason = "",
  ) {
    super(`${reason || code}: ${message}`);
    this.name = new.target.name;
  }
}

/** The request is wrong and stays wrong. */
export class InvalidRequestError extends ShardstreamError {}
/** The token is damaged, or belongs to another stream or shard, or to a newer server. */
export class InvalidTokenError extends InvalidRequestError {}
/** There is no such stream or shard. */
export class NotFoundError extends ShardstreamError {}
/** The session is gone: open the shard again from the newest token. */
export class LeaseNotFoundError extends NotFoundError {}
/** Records are gone. Starting from `token` accepts the loss. */
export class RecordsTrimmedError extends ShardstreamError {}
/** A record cannot be read. Starting from `token` passes it. */
export class RecordUnreadableError extends ShardstreamError {}
/** The session has no position yet: `jump` or `seek` first. */
export class NotPositionedError extends ShardstreamError {}
/** AWS does not let the server read this, or the server does not let this client. */
export class AccessDeniedError extends ShardstreamError {}
/** The credentials were refused, and so were those that were fetched anew. */
export class UnauthenticatedError extends ShardstreamError {}
/** A newer call on the same session took this one's place, or the session was closed. Do not repeat the call. */
export class SupersededError extends ShardstreamError {}
/** A limit of the server is reached; `metadata.limit` names it. */
export class LimitReachedError extends ShardstreamError {}
/** The server, or DynamoDB behind it, could not be reached for as long as the client's patience lasts. */
export class UnavailableError extends ShardstreamError {}
/** The call took longer than its timeout. */
export class DeadlineExceededError extends ShardstreamError {}

const BY_REASON = new Map<string, typeof ShardstreamError>([
  ["LEASE_NOT_FOUND", LeaseNotFoundError],
  ["NOT_POSITIONED", NotPositionedError],
  ["TOKEN_MALFORMED", InvalidTokenError],
  ["TOKEN_WRONG_KIND", InvalidTokenError],
  ["TOKEN_MISMATCH", InvalidTokenError],
  ["TOKEN_VERSION", InvalidTokenError],
]);
const BY_CODE = new Map<Code, typeof ShardstreamError>([
  ["INVALID_ARGUMENT", InvalidRequestError],
  ["NOT_FOUND", NotFoundError],
  ["OUT_OF_RANGE", RecordsTrimmedError],
  ["DATA_LOSS", RecordUnreadableError],
  ["FAILED_PRECONDITION", AccessDeniedError],
  ["PERMISSION_DENIED", AccessDeniedError],
  ["UNAUTHENTICATED", UnauthenticatedError],
  ["ABORTED", SupersededError],
  ["RESOURCE_EXHAUSTED", LimitReachedError],
  ["UNAVAILABLE", UnavailableError],
  ["DEADLINE_EXCEEDED", DeadlineExceededError],
]);

/** The error of a status; `bytes` is its `grpc-status-details-bin`. */
export function errorOf(number: number, message: string, bytes?: Uint8Array): ShardstreamError {
  const code = CODES[number] ?? "UNKNOWN";
  let info: ErrorInfo | undefined;
  let delay: Duration | undefined;
  for (const detail of bytes ? Status.decode(bytes).details : []) {
    // Other details are for people: their text is in the message already.
    if (detail.typeUrl.endsWith("/google.rpc.ErrorInfo")) info = ErrorInfo.decode(detail.value);
    if (detail.typeUrl.endsWith("/google.rpc.RetryInfo")) delay = RetryInfo.decode(detail.value).retryDelay;
  }
  const kind = BY_REASON.get(info?.reason ?? "") ?? BY_CODE.get(code) ?? ShardstreamError;
  const error = new kind(message, code, info?.reason);
  error.metadata = Object.fromEntries(info?.metadata ?? []);
  error.token = error.metadata.token ?? "";
  error.retryDelay = milliseconds(delay);
  return error;
}

/** Whether the same call may succeed later. Never true of ABORTED: programs that repeat it push each other out. */
export function mayPass(error: ShardstreamError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
      return true;
    case "RESOURCE_EXHAUSTED":
      // Without a delay it is not a limit of the server but a message that this client does not take.
      return error.retryDelay !== undefined;
    case "CANCELLED":
      return !error.reason; // The connection, or a server that found this client too slow.
    case "DEADLINE_EXCEEDED":
      return error.reason === "REQUEST_TIMEOUT";
    default:
      return false;
  }
}

/** A duration of the contract. */
export function milliseconds(duration: Duration | undefined): number | undefined {
  return duration && duration.seconds * 1000 + duration.nanos / 1e6;
}
