/** What both programs share: their arguments, and the words that are exchanged with bench.py. */

import { createInterface } from "node:readline";

/** Reads once to warm up, and again at each line. */
export async function measured(read) {
  const [server, dynamodb, table, records] = process.argv.slice(2);
  const place = { server, dynamodb, table, records: Number(records) };
  await read(place);
  console.log("ready");
  for await (const _ of createInterface({ input: process.stdin })) {
    const before = process.cpuUsage();
    const got = await read(place);
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ records: got, cpu: (user + system) / 1e6 }));
  }
}
