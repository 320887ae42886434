/** What the conformance suite cannot say, because it is JavaScript's own. */

import assert from "node:assert/strict";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import * as shardstream from "shardstream";
import { SubscribeRequest, SubscribeResponse } from "shardstream/v1/stream_service";

const server = new Server();
const seen = { requests: [], cancelled: 0 };
server.addService(
  {
    subscribe: {
      path: "/shardstream.v1.StreamService/Subscribe",
      requestStream: false,
      responseStream: true,
      requestDeserialize: (bytes) => SubscribeRequest.decode(bytes),
      responseSerialize: (message) => Buffer.from(SubscribeResponse.encode(message).finish()),
    },
  },
  {
    /** Answers as many messages as the stream's name says, and goes on for ever. */
    subscribe: (call) => {
      seen.requests.push({ ...call.request, authorization: call.metadata.get("authorization")[0] });
      call.on("cancelled", () => seen.cancelled++);
      if (call.request.stream === "refused" && call.metadata.get("authorization")[0] === "Bearer 1")
        return call.emit("error", { code: 16, details: "expired" });
      for (let number = 1; number <= 3; number++)
        call.write(SubscribeResponse.fromPartial({ records: [{}], shardId: `s${number}`, token: `t${number}` }));
    },
  },
);
const port = await new Promise((resolve, reject) =>
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (failed, found) =>
    failed ? reject(failed) : resolve(found),
  ),
);
const target = `127.0.0.1:${port}`;
after(() => server.forceShutdown());

test("an aborted signal ends the loop with its reason, and the call", async () => {
  const client = shardstream.connect(target);
  const controller = new AbortController();
  const reason = new Error("enough");
  const [before, got] = [seen.cancelled, []];
  await assert.rejects(async () => {
    for await (const { token } of client.subscribe("orders", { signal: controller.signal }))
      if (got.push(token) === 3) setTimeout(() => controller.abort(reason), 20);
  }, reason);
  assert.deepEqual(got, ["t1", "t2", "t3"]);
  await until(() => seen.cancelled === before + 1);
  const late = client.subscribe("orders", { signal: AbortSignal.abort(reason) });
  await assert.rejects(late.next(), reason);
  client.close();
});

test("closing the client ends its streams", async () => {
  const client = shardstream.connect(target);
  setTimeout(() => client.close(), 50);
  for await (const message of client.subscribe("orders")) assert.ok(message.token);
  await assert.rejects(client.serverInfo(), /closed/);
});

test("an exception in the loop closes the stream and stores nothing of its message", async () => {
  const client = shardstream.connect(target);
  const [store, before] = [new shardstream.MemoryTokenStore(), seen.cancelled];
  await assert.rejects(async () => {
    for await (const { token } of client.subscribe("orders", { store })) if (token === "t2") throw new Error("mine");
  }, /mine/);
  assert.equal(store.position, "t1");
  await until(() => seen.cancelled === before + 1);
  client.close();
});

test("a second next() before the first is settled is refused, for it would count what is being worked on", async () => {
  const client = shardstream.connect(target);
  const stream = client.subscribe("orders");
  const first = stream.next();
  await assert.rejects(stream.next(), TypeError);
  assert.equal((await first).value.token, "t1");
  client.close();
});

test("a store or a credentials function that fails is the program's own failure", async () => {
  const client = shardstream.connect(target, { credentials: () => Promise.reject(new Error("no tokens today")) });
  await assert.rejects(client.subscribe("orders").next(), /no tokens today/);
  const store = { load: () => Promise.reject(new Error("no disk")), save: () => undefined };
  await assert.rejects(shardstream.connect(target).subscribe("orders", { store }).next(), /no disk/);
});

test("many streams whose token is refused fetch one new token", async () => {
  let fetched = 0;
  const client = shardstream.connect(target, { credentials: async () => String(++fetched) });
  const streams = Array.from({ length: 50 }, () => client.subscribe("refused"));
  await Promise.all(streams.map((stream) => stream.next()));
  assert.equal(fetched, 2);
  client.close();
});

test("credentials do not travel in the clear", () => {
  assert.throws(() => shardstream.connect("example.org:50051", { credentials: "secret" }), TypeError);
  assert.throws(() => shardstream.connect("localhost.example.org:50051", { credentials: "secret" }), TypeError);
  shardstream.connect("example.org:50051", { credentials: "secret", tls: true }).close();
});

test("a file store replaces its file whole and leaves nothing beside it", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "shardstream-"));
  for (const options of [{}, { fsync: true }]) {
    const store = new shardstream.FileTokenStore(path.join(folder, "token"), options);
    await store.save("t1 a1");
    assert.equal(await store.load(), "t1 a1");
  }
  assert.deepEqual(await readdir(folder), ["token"]);
  assert.equal(await new shardstream.FileTokenStore(path.join(folder, "none")).load(), "");
});

test("values come back as they went", () => {
  const item = {
    ["__proto__"]: "an attribute like any other",
    whole: 12n ** 30n,
    part: new shardstream.NumberText("0.1234567890123456789"),
    empty: new shardstream.NumberSet(),
    bytes: Uint8Array.of(0, 255),
    plain: new Set(["x"]),
    numbers: new Set([1, 2.5]),
  };
  const there = shardstream.toAttributes(item);
  const back = shardstream.fromAttributes(there);
  assert.deepEqual(Object.keys(back), Object.keys(item));
  assert.deepEqual(shardstream.toAttributes(back), there);
  assert.equal(back.whole, item.whole);
  for (const wrong of [NaN, Infinity, undefined, new Date(), () => 1, new Set(), new Set([1, "x"]), new Map()])
    assert.throws(() => shardstream.toAttribute(wrong), /DynamoDB/, String(wrong));
});

test("numbers keep their text where a number would not", () => {
  for (const text of ["0", "-0", "007", "1.50", "1E-130", "9007199254740993", "0.30000000000000001", "-12.5"]) {
    const value = shardstream.fromAttribute({ value: { $case: "n", value: text } });
    assert.equal(shardstream.toAttribute(value).value.value, text);
  }
  const numbers = (text) => `number ${text}`;
  assert.equal(shardstream.fromAttribute({ value: { $case: "n", value: "1" } }, numbers), "number 1");
});

test("an item of 32 levels of maps is decoded", () => {
  let value = "the bottom";
  for (let level = 0; level < 32; level++) value = { in: value };
  const newImage = shardstream.toAttributes({ value });
  assert.deepEqual(shardstream.fromAttributes(newImage), { value });
  // The generated decoder, which `record.raw` is from, has a limit of its own.
  const message = SubscribeResponse.fromPartial({ records: [{ newImage }] });
  const [record] = SubscribeResponse.decode(SubscribeResponse.encode(message).finish()).records;
  assert.ok(record.newImage.has("value"));
});

async function until(condition) {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 200);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
