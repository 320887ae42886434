// A Node client: subscribes from the trim horizon to the tip and prints, for each record, its sequence number and how many lists
// and maps lie around the innermost value of its new image.
//
//     node subscribe.js HOST:PORT STREAM FOLDER_OF_PROTO_FILES
//
// Looks for its packages in NODE_PATH.

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [server, stream, protos] = process.argv.slice(2);
const definition = loader.loadSync("shardstream/v1/stream_service.proto", { includeDirs: [protos], longs: String, oneofs: true });
const { StreamService } = grpc.loadPackageDefinition(definition).shardstream.v1;
const client = new StreamService(server, grpc.credentials.createInsecure());

function depth(value) {
  const inner = value.value === "m" ? Object.values(value.m.entries ?? {}) : value.value === "l" ? value.l.values ?? [] : null;
  return inner === null ? 0 : 1 + Math.max(0, ...inner.map(depth));
}

const position = { iteratorType: "ITERATOR_TYPE_TRIM_HORIZON" };
const call = client.subscribe({ stream, position, until: { atTip: true } });
call.on("data", (message) => {
  for (const record of message.records ?? []) {
    const depths = Object.values(record.newImage ?? {}).map(depth);
    console.log(record.meta.sequenceNumber, Math.max(0, ...depths));
  }
});
call.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});
