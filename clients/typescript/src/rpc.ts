/** The methods of the contract, and what the client needs of gRPC to call them. */

import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { Packed } from "./records.js";
import type { ChangeRecord } from "./v1/shardstream/v1/record.js";
import { ServerServiceDefinition } from "./v1/shardstream/v1/server_service.js";
import { ShardServiceDefinition } from "./v1/shardstream/v1/shard_service.js";
import { StreamServiceDefinition } from "./v1/shardstream/v1/stream_service.js";
import { split } from "./wire.js";

interface MessageType<T> {
  create(): T;
  encode(message: T): BinaryWriter;
  decode(bytes: Uint8Array): T;
}

/** One method of the server. */
export interface Rpc<Request, Response> {
  path: string;
  /** A request with these fields. */
  request(fields: Partial<Request>): Request;
  encode: (request: Request) => Uint8Array;
  decode: (bytes: Uint8Array) => Response;
}

/** A call that is open. A unary one gives one message. */
export interface Call<Response> {
  /** The next message; undefined at the end. Throws a ShardstreamError. */
  next(): Promise<Response | undefined>;
  /** Ends the call; `next` throws then. */
  cancel(): void;
  /** The header `date` of the answer. */
  readonly date: string | undefined;
}

/** A connection. */
export interface Transport {
  open<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    metadata: Record<string, string>,
    timeout?: number,
  ): Call<Response>;
  close(): void;
}

function rpc<Request, Response>(
  service: { fullName: string },
  method: { name: string; requestType: MessageType<Request>; responseType: MessageType<Response> },
): Rpc<Request, Response> {
  const { requestType, responseType } = method;
  return {
    path: `/${service.fullName}/${method.name}`,
    request: (fields) => ({ ...requestType.create(), ...fields }),
    encode: (request) => requestType.encode(request).finish(),
    decode: (bytes) => responseType.decode(bytes),
  };
}

/** The method, whose answer's records stay bytes. */
function packed<Request, Response extends { records: ChangeRecord[] }>(
  rpc: Rpc<Request, Response>,
): Rpc<Request, Packed<Response>> {
  return {
    ...rpc,
    decode: (bytes) => {
      const { records, rest } = split(bytes);
      return { ...rpc.decode(rest), records };
    },
  };
}

const [server, shard, stream] = [ServerServiceDefinition, ShardServiceDefinition, StreamServiceDefinition];

export const RPCS = {
  getServerInfo: rpc(server, server.methods.getServerInfo),
  listStreams: rpc(stream, stream.methods.listStreams),
  describeStream: rpc(stream, stream.methods.describeStream),
  listShards: rpc(stream, stream.methods.listShards),
  subscribe: packed(rpc(stream, stream.methods.subscribe)),
  watchShards: rpc(stream, stream.methods.watchShards),
  openShard: rpc(shard, shard.methods.openShard),
  getShardSession: rpc(shard, shard.methods.getShardSession),
  renewLease: rpc(shard, shard.methods.renewLease),
  closeShard: rpc(shard, shard.methods.closeShard),
  jumpTo: rpc(shard, shard.methods.jumpTo),
  seekTo: packed(rpc(shard, shard.methods.seekTo)),
  getRecords: packed(rpc(shard, shard.methods.getRecords)),
  listChildren: rpc(shard, shard.methods.listChildren),
  walkTree: rpc(shard, shard.methods.walkTree),
  streamRecords: packed(rpc(shard, shard.methods.streamRecords)),
};
