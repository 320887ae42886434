// Follows a whole stream, and goes on where it stopped, whatever stopped it.
//
//     npm install @grpc/grpc-js @grpc/proto-loader
//     node examples/node/follow.js TABLE TOKEN_FILE [HOST:PORT [FOLDER_OF_PROTO_FILES]]

const fs = require("fs");
const path = require("path");
const { setTimeout: sleep } = require("timers/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [table, file, server = "localhost:50051", protos = path.join(__dirname, "..", "..", "proto")] = process.argv.slice(2);
const definition = loader.loadSync("shardstream/v1/stream_service.proto", {
  includeDirs: [protos],
  longs: String,
  enums: String,
  arrays: true,
  objects: true,
  oneofs: true,
});
const { StreamService } = grpc.loadPackageDefinition(definition).shardstream.v1;

// UNAVAILABLE: the server went away. OUT_OF_RANGE: a gap was told; the token stands behind it, and going on accepts the loss.
const COME_AGAIN = [grpc.status.UNAVAILABLE, grpc.status.OUT_OF_RANGE];

/** Prints the records of a table's streams; the file keeps the token. */
async function follow() {
  const client = new StreamService(server, grpc.credentials.createInsecure());
  for (;;) {
    const token = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
    const start = token ? { token } : { position: { iteratorType: "ITERATOR_TYPE_TRIM_HORIZON" } };
    let pause = null;
    try {
      for await (const message of client.subscribe({ stream: table, ...start })) {
        tell(message);
        if (message.event === "end" && message.end.retryDelay) pause = milliseconds(message.end.retryDelay);
        // Not on every message. It covers all that came up to here, and nothing else.
        if (message.token) keep(message.token);
      }
      return; // Only `until`, or a stream named by its ARN, has an end.
    } catch (error) {
      if (pause === null && !COME_AGAIN.includes(error.code)) throw error;
      await sleep(pause ?? 1000);
    }
  }
}

/** What to do with records, and with what was lost. Other events need nothing done. */
function tell(message) {
  for (const record of message.records) {
    const key = Object.entries(record.key).map(([name, value]) => `${name}=${value.s ?? value.n}`);
    console.log(message.shardId, record.meta.sequenceNumber, ...key);
  }
  if (message.event === "gap") {
    const { shardId, certain, afterSequenceNumber } = message.gap;
    console.error(`${shardId} ${certain ? "lost" : "may have lost"} records after ${afterSequenceNumber || "its beginning"}`);
  }
}

/** Replaces the file at once, so that it is whole whenever this program is killed. */
function keep(token) {
  fs.writeFileSync(`${file}.new`, token);
  fs.renameSync(`${file}.new`, file);
}

function milliseconds(duration) {
  return Number(duration.seconds ?? 0) * 1000 + (duration.nanos ?? 0) / 1e6;
}

follow().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
