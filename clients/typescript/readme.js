/**
 * Runs the loop of README.md, as programs.py of the suite wants it.
 *
 *     node readme.js README HOST:PORT TABLE TOKEN_FILE [CA CERTIFICATE KEY]
 */

import { readFileSync } from "node:fs";

const [, , readme, target, table, store, ...tls] = process.argv;
let [, block] = /```ts\n([^]*?)```/.exec(readFileSync(readme, "utf8"));
for (const [old, now] of [
  ["localhost:50051", target],
  ['"orders"', JSON.stringify(table)],
  ["orders.token", store],
  ['from "shardstream"', `from ${JSON.stringify(import.meta.resolve("shardstream"))}`],
]) {
  if (!block.includes(old)) throw new Error(`README.md has no ${old}`);
  block = block.replace(old, now);
}
if (tls.length) {
  const [ca, certificate, key] = tls;
  block = block.replace(`"${target}"`, `"${target}", ${JSON.stringify({ tls: { ca, certificate, key } })}`);
}
await import(`data:text/javascript,${encodeURIComponent(block)}`);
