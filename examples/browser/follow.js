// Follows a stream and shows its newest records. `?stream=orders&server=https://streams.example`, and `token` where the
// server wants to know who calls. Loaded again it goes on where it was.

import { connect, ShardstreamError, StorageTokenStore } from "shardstream";

const SHOWN = 12;

const asked = new URLSearchParams(location.search);
const [server, stream] = [asked.get("server") ?? "http://127.0.0.1:50051", asked.get("stream") ?? "orders"];
const find = (selector) => document.querySelector(selector);
const text = (value) => JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}` : one));

function tell(state, kind = "") {
  find("#state").textContent = state;
  find("#state").className = kind;
}

function show(record) {
  const row = find("tbody").insertRow(0);
  const changed = record.type === "MODIFY" ? [...record.changed().keys()].join(", ") : "";
  for (const cell of [record.shardId, record.type, text(record.key), changed]) row.insertCell().textContent = cell;
  if (find("tbody").rows.length > SHOWN) find("tbody").deleteRow(SHOWN);
}

const client = connect(server, {
  credentials: asked.get("token") ?? undefined,
  hooks: {
    message: () => tell("following"),
    resume: (error, pause) => tell(`again in ${(pause / 1000).toFixed(1)} s: ${error.message}`, "waits"),
  },
});
find("h1").textContent = `${stream} at ${server}`;
addEventListener("pagehide", () => client.close());
try {
  const store = new StorageTokenStore(localStorage, `${server} ${stream}`);
  let count = 0;
  for await (const message of client.subscribe(stream, { store, heartbeats: true }))
    for (const record of message.records) {
      show(record);
      find("#count").textContent = ++count;
      // For whoever looks into the page from outside.
      dispatchEvent(new CustomEvent("record", { detail: record.key }));
    }
  tell("the stream has ended");
} catch (error) {
  if (!(error instanceof ShardstreamError)) throw error;
  // The loss of records, too: `error.token` goes on behind it.
  tell(error.message, "failed");
}
