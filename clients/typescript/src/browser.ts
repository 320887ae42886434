/**
 * The same client in a page, by gRPC-Web: of a server with `--web`, and `--cors-origin` for the page's origin.
 *
 * @packageDocumentation
 */

import { Client, type ClientOptions } from "./client.js";
import type { TokenStore } from "./stores.js";
import { WebTransport } from "./web.js";

export * from "./common.js";

/** How to reach a server. */
export interface ConnectOptions extends ClientOptions {
  /** Instead of the browser's own. */
  fetch?: typeof fetch;
}

/** A client of the server at a URL, such as `https://streams.example`. */
export function connect(url: string, options: ConnectOptions = {}): Client {
  const { protocol, hostname } = new URL(url);
  const isHere = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  const send = options.fetch ?? ((input, init) => fetch(input, init));
  return new Client(() => new WebTransport(url, send), protocol === "https:" || isHere, options);
}

/** Keeps the position in `localStorage`, or in anything like it: a page that is loaded again goes on there. */
export class StorageTokenStore implements TokenStore {
  constructor(
    private readonly storage: Pick<Storage, "getItem" | "setItem">,
    private readonly key: string,
  ) {}

  load(): string {
    return this.storage.getItem(this.key) ?? "";
  }

  save(position: string): void {
    this.storage.setItem(this.key, position);
  }
}
