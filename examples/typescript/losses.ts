/**
 * Follows a stream and says what was lost, in its place; what to do about it is yours.
 *
 *     npm install PATH/shardstream-0.1.0.tgz
 *     node examples/typescript/losses.ts tell|stop TABLE TOKEN_FILE [HOST:PORT]
 */

import { argv } from "node:process";
import { connect, FileTokenStore, RecordsTrimmedError, RecordUnreadableError } from "shardstream";

const [, , way, table = "", file = "", server = "localhost:50051"] = argv;
const client = connect(server);
const store = new FileTokenStore(file);

/** Goes on over losses: they are events between the records. */
async function tell(): Promise<void> {
  for await (const message of client.subscribe(table, { store, onGap: "continue", onUnreadable: "continue" })) {
    const { event } = message;
    if (event?.kind === "gap") {
      const lost = event.certain ? "lost" : "may have lost";
      console.log(`${event.shardId}: ${lost} records after ${event.afterSequenceNumber || "its beginning"}`);
    } else if (event?.kind === "unreadable") {
      console.log(`${event.shardId}: record ${event.sequenceNumber} cannot be read: ${event.cause}`);
    }
    for (const record of message.records) console.log(`${record.shardId}: ${record.sequenceNumber}`);
  }
}

/** Stops at a loss, as a client does unless told otherwise, and accepts it knowingly. */
async function stop(): Promise<void> {
  for (;;) {
    try {
      for await (const message of client.subscribe(table, { store }))
        for (const record of message.records) console.log(`${record.shardId}: ${record.sequenceNumber}`);
      return; // Only a stream that is named by its ARN has an end.
    } catch (error) {
      if (!(error instanceof RecordsTrimmedError || error instanceof RecordUnreadableError)) throw error;
      console.log("accepted:", JSON.stringify(error.losses));
      await store.save(error.token); // Without this the next loop stops at the same loss.
    }
  }
}

await (way === "stop" ? stop() : tell());
