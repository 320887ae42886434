/** What memory.py asks for. */

import { connect } from "shardstream";

const [server, table, what] = process.argv.slice(2);
const client = connect(server);
await client.serverInfo();

async function follow(had) {
  const options = { start: "LATEST", heartbeats: true, heartbeatInterval: 1000 };
  for await (const _ of client.subscribe(table, options)) had();
}

export let slow;
if (what === "slow") {
  slow = client.subscribe(table);
  await slow.next();
} else {
  await Promise.all(Array.from({ length: Number(what) }, () => new Promise((had) => void follow(had))));
}
console.log("ready");
setInterval(() => undefined, 3_600_000);
