/** Reads a table's stream by the client. */

import { connect } from "shardstream";
import { measured } from "./reading.js";

let client;
export let sink;

await measured(async ({ server, table, records }) => {
  client ??= connect(server);
  let seen = 0;
  for await (const message of client.subscribe(table, { until: { recordCount: records } }))
    for (const record of message.records) {
      const { id, type, sequenceNumber, key, oldImage, newImage } = record;
      sink = { id, type, sequenceNumber, key, oldImage, newImage };
      if (!sink.newImage.id) throw new Error("a record without its item");
      seen++;
    }
  return seen;
});
