/** Connections by @grpc/grpc-js. */

import { readFileSync } from "node:fs";
import {
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { errorOf } from "./errors.js";
import type { Call, Rpc, Transport } from "./rpc.js";

/** TLS with PEM files, read for each connection. */
export interface Tls {
  /** The CA, if it is not the system's. */
  ca?: string;
  /** For mTLS: the client's certificate, and its key. */
  certificate?: string;
  key?: string;
}

const OPTIONS: ChannelOptions = {
  // Each channel has connections of its own, and calls are repeated by this client alone.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.max_receive_message_length": 32 << 20,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.primary_user_agent": "shardstream-typescript/0.1.0",
};

/** A channel of its own to the server. */
export class NodeTransport implements Transport {
  readonly #client: Client;

  constructor(target: string, tls: Tls | undefined, options: ChannelOptions) {
    const read = (file: string | undefined) => (file ? readFileSync(file) : null);
    const channel = tls
      ? credentials.createSsl(read(tls.ca), read(tls.key), read(tls.certificate))
      : credentials.createInsecure();
    this.#client = new Client(target, channel, { ...OPTIONS, ...options });
  }

  open<Request, Response>(
    rpc: Rpc<Request, Response>,
    request: Request,
    metadata: Record<string, string>,
    timeout?: number,
  ): Call<Response> {
    const headers = new Metadata();
    for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
    const encode = (message: Request) => Buffer.from(rpc.encode(message));
    const deadline = timeout === undefined ? {} : { deadline: Date.now() + timeout };
    return new NodeCall(this.#client.makeServerStreamRequest(rpc.path, encode, rpc.decode, request, headers, deadline));
  }

  close(): void {
    this.#client.close();
  }
}

class NodeCall<Response> implements Call<Response> {
  date: string | undefined;
  readonly #messages: AsyncIterator<Response, unknown>;

  constructor(private readonly call: ClientReadableStream<Response>) {
    call.on("metadata", (headers: Metadata) => (this.date = headers.get("date")[0]?.toString()));
    // Errors come from `next`; one that nobody waits for ends no program.
    call.on("error", () => undefined);
    this.#messages = call[Symbol.asyncIterator]();
  }

  async next(): Promise<Response | undefined> {
    try {
      const result = await this.#messages.next();
      return result.done ? undefined : result.value;
    } catch (failed) {
      const { code, details, metadata } = failed as Partial<ServiceError>;
      const bytes = metadata?.get("grpc-status-details-bin")[0];
      throw errorOf(code ?? 2, details ?? String(failed), typeof bytes === "string" ? undefined : bytes);
    }
  }

  cancel(): void {
    this.call.cancel();
  }
}
