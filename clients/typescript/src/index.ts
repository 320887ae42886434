/**
 * Client for shardstream, which reads Amazon DynamoDB Streams once and serves the records over gRPC.
 *
 * @packageDocumentation
 */

import type { ChannelOptions } from "@grpc/grpc-js";
import { Client, type ClientOptions } from "./client.js";
import { NodeTransport, type Tls } from "./node.js";

export * from "./common.js";
export { FileTokenStore } from "./files.js";
export type { Tls } from "./node.js";

/** How to reach a server. */
export interface ConnectOptions extends ClientOptions {
  /** True for TLS with the system's certificates, or PEM files. */
  tls?: boolean | Tls;
  /** Options of gRPC's channels, beside the client's own. */
  channelOptions?: ChannelOptions;
}

/** A client of the server at `target`, in gRPC's notation: `host:port`, `dns:///name:port`. */
export function connect(target: string, options: ConnectOptions = {}): Client {
  const tls = options.tls === true ? {} : options.tls === false ? undefined : options.tls;
  const isHere = /^(((ipv[46]|dns):\/*)?(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$|unix:)/.test(target);
  // A proxy's own machine is not this one.
  const direct = isHere ? { "grpc.enable_http_proxy": 0 } : {};
  const open = () => new NodeTransport(target, tls, { ...direct, ...options.channelOptions });
  return new Client(open, tls !== undefined || isHere, options);
}
