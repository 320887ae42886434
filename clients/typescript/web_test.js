/** The client of pages against a server that answers by gRPC-Web as its script says, over Node's own `fetch`. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import * as shardstream from "shardstream/browser";
import { SubscribeRequest, SubscribeResponse } from "shardstream/v1/stream_service";

const script = [];
const seen = [];
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const call = { path: request.url, headers: request.headers, body: Buffer.concat(parts), closed: false };
  response.on("close", () => (call.closed = true));
  seen.push(call);
  await script.shift()(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}`;
after(() => {
  server.closeAllConnections();
  server.close();
});

const TIMING = { firstPause: 5, longestPause: 10, patience: 2000, leastHeartbeat: 10 };
const connect = (options) => shardstream.connect(url, { timing: TIMING, ...options });

/** A frame of gRPC-Web. */
function frame(bytes, flags = 0) {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
const message = (fields) => frame(SubscribeResponse.encode(SubscribeResponse.fromPartial(fields)).finish());
const trailer = (text) => frame(Buffer.from(text), 0x80);
const token = (text) => message({ shardId: "a", records: [{}], token: text });
const head = (response, more = {}) =>
  response.writeHead(200, { "content-type": "application/grpc-web+proto", ...more });

async function tokens(stream) {
  const got = [];
  for await (const { token } of stream) got.push(token);
  return got;
}

test("frames may be cut anywhere, and several may come at once", async () => {
  const all = Buffer.concat([token("t1"), token("t2"), trailer("grpc-status:0\r\n")]);
  for (const size of [1, 7, all.length]) {
    script.push(async (response) => {
      head(response);
      for (let at = 0; at < all.length; at += size) {
        response.write(all.subarray(at, at + size));
        await new Promise(setImmediate);
      }
      response.end();
    });
    assert.deepEqual(await tokens(connect().subscribe("orders")), ["t1", "t2"]);
  }
  const { path, headers, body } = seen.at(-1);
  assert.equal(path, "/shardstream.v1.StreamService/Subscribe");
  assert.equal(headers["content-type"], "application/grpc-web+proto");
  assert.equal(SubscribeRequest.decode(body.subarray(5)).stream, "orders");
});

test("an answer that ends without a status is a connection that broke, and goes on from its token", async () => {
  script.push((response) => head(response).end(token("t1")));
  script.push((response) => head(response).write(token("t2")) && setTimeout(() => response.destroy(), 20));
  script.push((response) => head(response).end(Buffer.concat([token("t3"), trailer("grpc-status: 0\r\n")])));
  assert.deepEqual(await tokens(connect().subscribe("orders")), ["t1", "t2", "t3"]);
  const starts = seen.slice(-3).map(({ body }) => SubscribeRequest.decode(body.subarray(5)).start);
  assert.deepEqual(
    starts.slice(1).map(({ value }) => value),
    ["t1", "t2"],
  );
});

test("LATEST that breaks before its token goes on from when it was opened", async () => {
  script.push((response) => head(response, { date: "Fri, 27 Nov 2026 08:00:10 GMT" }).end());
  script.push((response) => head(response).end(trailer("grpc-status:0\r\n")));
  assert.deepEqual(await tokens(connect().subscribe("orders", { start: "LATEST" })), []);
  const { start } = SubscribeRequest.decode(seen.at(-1).body.subarray(5));
  assert.deepEqual(start.value.time, new Date("2026-11-27T08:00:07Z"));
});

test("a status comes in headers or in trailers, with its text and its details", async () => {
  // STREAM_NOT_FOUND as ErrorInfo.
  const info = Buffer.from("\n\x10STREAM_NOT_FOUND\x12\x0bshardstream", "latin1");
  const type = Buffer.from("type.googleapis.com/google.rpc.ErrorInfo");
  const any = Buffer.concat([Buffer.from([10, type.length]), type, Buffer.from([18, info.length]), info]);
  const details = Buffer.concat([Buffer.from([8, 5, 26, any.length]), any]).toString("base64");
  const status = { "grpc-status": "5", "grpc-message": "no%20stream%20%C3%A9", "grpc-status-details-bin": details };
  const lines = Object.entries(status).map(([name, value]) => `${name}:${value}\r\n`);
  script.push((response) => head(response, status).end());
  script.push((response) => head(response).end(trailer(lines.join(""))));
  for (let way = 0; way < 2; way++)
    await assert.rejects(connect().describeStream("orders"), (error) => {
      assert.ok(error instanceof shardstream.NotFoundError);
      assert.equal(error.message, "STREAM_NOT_FOUND: no stream é");
      return true;
    });
});

test("what is no gRPC counts by its HTTP status", async () => {
  script.push((response) => response.writeHead(403).end());
  await assert.rejects(connect().serverInfo(), shardstream.AccessDeniedError);
  script.push((response) => response.writeHead(503).end());
  script.push((response) => response.writeHead(404).end());
  await assert.rejects(connect().serverInfo(), { code: "UNIMPLEMENTED" });
});

test("leaving the loop, closing the client, and silence each end the request", async () => {
  const hangs = (response) => head(response).write(token("t1"));
  script.push(hangs);
  for await (const { token } of connect().subscribe("orders")) {
    assert.equal(token, "t1");
    break;
  }
  await until(() => seen.at(-1).closed);
  script.push(hangs);
  const client = connect();
  setTimeout(() => client.close(), 50);
  assert.deepEqual(await tokens(client.subscribe("orders")), ["t1"]);
  await until(() => seen.at(-1).closed);
  script.push(hangs, (response) => head(response).end(trailer("grpc-status:0\r\n")));
  assert.deepEqual(await tokens(connect().subscribe("orders", { heartbeatInterval: 20 })), ["t1"]);
  assert.ok(seen.at(-2).closed);
});

test("a call that is not answered ends by its time", async () => {
  script.push((response) => head(response).flushHeaders());
  const client = connect();
  await assert.rejects(client.unary(UNANSWERED, {}, 50), shardstream.DeadlineExceededError);
  assert.equal(seen.at(-1).headers["grpc-timeout"], "50m");
});
const UNANSWERED = { path: "/none", request: (fields) => fields, encode: () => new Uint8Array(), decode: () => ({}) };

test("a message that is compressed or too large is refused", async () => {
  script.push((response) => head(response).end(frame(Buffer.from("x"), 1)));
  await assert.rejects(tokens(connect().subscribe("orders")), { code: "INTERNAL" });
  script.push((response) => head(response).write(Buffer.from([0, 0x7f, 0, 0, 0])));
  await assert.rejects(tokens(connect().subscribe("orders")), { code: "RESOURCE_EXHAUSTED" });
});

test("a token is sent by https or to this machine only, and renewed when refused", async () => {
  assert.throws(() => shardstream.connect("http://example.org", { credentials: "secret" }), TypeError);
  shardstream.connect("https://example.org", { credentials: "secret" }).close();
  const kept = ["one", "two"].values();
  script.push((response) => head(response, { "grpc-status": "16" }).end());
  script.push((response) => head(response).end(Buffer.concat([frame(Buffer.alloc(0)), trailer("grpc-status:0\r\n")])));
  await connect({ credentials: () => kept.next().value }).serverInfo();
  assert.deepEqual(
    seen.slice(-2).map(({ headers }) => headers.authorization),
    ["Bearer one", "Bearer two"],
  );
});

test("a page keeps its place in localStorage", () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const store = new shardstream.StorageTokenStore(storage, "orders");
  assert.equal(store.load(), "");
  store.save("t1 a1");
  assert.equal(new shardstream.StorageTokenStore(storage, "orders").load(), "t1 a1");
});

async function until(condition) {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 200);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
