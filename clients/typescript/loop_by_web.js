/**
 * The client of pages under Node's own `fetch`, where there is no browser: prints a line of JSON for each record's key.
 *
 *     node loop_by_web.js URL TABLE
 */

import { connect, MemoryTokenStore } from "shardstream/browser";

const [url, table] = process.argv.slice(2);
for await (const message of connect(url).subscribe(table, { store: new MemoryTokenStore() }))
  for (const record of message.records) process.stdout.write(`${JSON.stringify({ key: record.key })}\n`);
