// What a user of gRPC's library for Node sees: calls the server once for each line of stdin, and prints the status.
//
//     node who.js FOLDER_OF_PROTO_FILES
//
// A line is a JSON object with `server`, `ca`, and where there are, `certificate`, `key` and `token`. Looks for its packages in
// NODE_PATH.

const fs = require("fs");
const readline = require("readline");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const definition = loader.loadSync("shardstream/v1/server_service.proto", { includeDirs: [process.argv[2]] });
const { ServerService } = grpc.loadPackageDefinition(definition).shardstream.v1;

function call({ server, ca, certificate, key, token }) {
  const read = (file) => (file ? fs.readFileSync(file) : null);
  const client = new ServerService(server, grpc.credentials.createSsl(read(ca), read(key), read(certificate)));
  const metadata = new grpc.Metadata();
  if (token) metadata.set("authorization", `Bearer ${token}`);
  return new Promise((resolve) => {
    client.getServerInfo({}, metadata, { deadline: Date.now() + 20_000 }, (error) => {
      client.close();
      resolve(error ? { code: grpc.status[error.code], text: error.details } : { code: "OK", text: "" });
    });
  });
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin }))
    console.log(JSON.stringify(await call(JSON.parse(line))));
})();
