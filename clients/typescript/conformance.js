/** Plays the user of the TypeScript client for the conformance suite; clients/conformance/README.md says how. */

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as shardstream from "shardstream";
import { AttributeValue } from "shardstream/v1/record";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const seconds = (value) => (value === undefined ? undefined : value * 1000);
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
const base64 = (bytes) => Buffer.from(bytes).toString("base64");

/** An attribute in DynamoDB's JSON. */
function typed(raw) {
  const value = raw.value;
  switch (value?.$case) {
    case undefined:
      return { unknown: base64(AttributeValue.encode(raw).finish()) };
    case "b":
      return { B: base64(value.value) };
    case "ss":
    case "ns":
      return { [value.$case.toUpperCase()]: [...value.value.values].sort() };
    case "bs":
      return { BS: value.value.values.map(base64).sort() };
    case "m":
      return { M: Object.fromEntries([...value.value.entries].map(([name, inner]) => [name, typed(inner)])) };
    case "l":
      return { L: value.value.values.map(typed) };
    case "nullValue":
      return { NULL: value.value };
    case "boolValue":
      return { BOOL: value.value };
    default:
      return { [value.$case.toUpperCase()]: value.value };
  }
}

/** Native values in DynamoDB's JSON: there and back, to show that nothing is lost. */
function image(item) {
  if (item === undefined) return null;
  return Object.fromEntries([...shardstream.toAttributes(item)].map(([name, value]) => [name, typed(value)]));
}

function tell(record) {
  const line = { shard: record.shardId, sequence: record.sequenceNumber, type: record.type, id: record.id };
  let changed = null;
  try {
    changed = [...record.changed().keys()].sort();
  } catch (failed) {
    if (!(failed instanceof TypeError)) throw failed;
  }
  const images = { key: image(record.key), new: image(record.newImage), old: image(record.oldImage) };
  say({ record: { ...line, ...images, changed } });
}

/** A gap or an unreadable record. */
function loss({ kind, shardId, cause, certain, sequenceNumber, afterSequenceNumber: after, ...rest }) {
  if (kind === "gap") return { gap: { shard: shardId, cause, certain, after, before: rest.beforeSequenceNumber } };
  return { unreadable: { shard: shardId, sequence: sequenceNumber, cause, after } };
}

function tellEvent(event) {
  switch (event.kind) {
    case "shardOpen":
      return say({ shard_open: event.shard.shardId });
    case "shardEnd":
      return say({ shard_end: event.shardId, children: event.children.map((child) => child.shardId) });
    case "streamEnd":
      return say({ stream_end: event.streamArn, next: event.nextStreamArn });
    case "heartbeat":
      return say({ heartbeat: { at_tip: event.atTip, upstream_error: event.upstreamError } });
    default:
      return say(loss(event));
  }
}

function tellError(error) {
  if (!(error instanceof shardstream.ShardstreamError)) return say({ fault: String(error.stack ?? error) });
  const { code, reason, token, metadata } = error;
  const line = { kind: error.name.replace(/Error$/, ""), code, reason, token, metadata };
  return say({ error: { ...line, losses: error.losses.map(loss) } });
}

/** A store that tells what is saved. */
class Store extends shardstream.MemoryTokenStore {
  save(position) {
    super.save(position);
    const [stored, ...shards] = position.split(" ");
    say({ stored, shard_tokens: shards });
  }
}

/** A start as the action says it. */
function start(said) {
  if (typeof said !== "object") return said;
  if ("time" in said) return new Date(said.time);
  if ("at" in said) return shardstream.atSequenceNumber(said.at);
  return "after" in said ? shardstream.afterSequenceNumber(said.after) : said.token;
}

function connect(action) {
  const timing = Object.entries(action.timing ?? {}).map(([name, value]) => [camel(name), value * 1000]);
  const tokens = Array.isArray(action.credentials) ? action.credentials.values() : undefined;
  return shardstream.connect(action.target, {
    timing: Object.fromEntries(timing),
    credentials: tokens ? () => tokens.next().value : action.credentials,
    tls: action.tls,
    numbers: action.numbers === "text" ? "text" : undefined,
    hooks: {
      traceparent: () => action.traceparent,
      resume: (error) => action.resumes && say({ resume: error.reason || error.code }),
    },
  });
}

function options(action) {
  const until = Object.entries(action.options?.until ?? {}).map(([name, value]) => [camel(name), value]);
  return {
    onGap: action.on_gap,
    onUnreadable: action.on_unreadable,
    heartbeatInterval: seconds(action.heartbeat_interval),
    heartbeats: action.heartbeats,
    until: until.length ? Object.fromEntries(until) : undefined,
    store: action.store === undefined ? undefined : new Store(action.store),
  };
}

function open(client, action, place) {
  const given = { ...options(action), start: place };
  if (action.call === "stream_shard") return client.streamShard(action.stream, action.shard, given);
  return client.subscribe(action.stream, given);
}

const UNARY = {
  server_info: async (client) => {
    const { version, features } = await client.serverInfo();
    say({ version, features });
  },
  list_streams: async (client, { table }) => {
    for (const row of await client.listStreams(table)) say({ row: row.streamArn });
  },
  describe_stream: async (client, { stream }) => {
    const { streamArn, status } = await client.describeStream(stream);
    say({ description: streamArn, status });
  },
  list_shards: async (client, { stream }) => {
    for (const row of await client.listShards(stream)) say({ row: row.shardId });
  },
  list_children: async (client, { stream, shard }) => {
    const { children, complete } = await client.listChildren(stream, shard);
    say({ children: children.map((child) => child.shardId), complete });
  },
  walk_tree: async (client, { stream, shard }) => {
    for (const row of await client.walkTree(stream, shard)) say({ depth: row.depth, shard: row.shard.shardId });
  },
  get_records: async (client, action) => {
    const { onUnreadable } = options(action);
    tellBatch(await client.getRecords(action.stream, action.shard, { start: start(action.start), onUnreadable }));
  },
};

function tellBatch({ records, unreadable, token, exhausted, atTip }) {
  records.forEach(tell);
  for (const one of unreadable) say(loss(one));
  say({ batch: { token, exhausted, at_tip: atTip } });
}

/** The loop. */
async function follow(stream, action) {
  const begun = performance.now();
  if (action.cancel_after) setTimeout(() => stream.cancel(), seconds(action.cancel_after));
  if ((await messages(stream, action)) === "left") return say({ left: true });
  say({ ended: true });
  if (performance.now() - begun > seconds(action.cancel_after) + 1000) say({ late: true });
}

async function messages(stream, action) {
  let taken = 0;
  for await (const message of stream) {
    for (const record of message.records) {
      tell(record);
      if (++taken === action.take) return "left";
    }
    if (message.event) tellEvent(message.event);
    await sleep(seconds(action.slow ?? 0));
  }
}

async function watch(client, action) {
  let messages = 0;
  for await (const { shards, removedShardIds } of client.watchShards(action.stream)) {
    say({ watched: shards.map(({ shard }) => shard.shardId), removed: removedShardIds });
    if (++messages === action.take) return say({ left: true });
  }
  return say({ ended: true });
}

/** Streams that nobody reads and nobody closes. */
const kept = [];

async function session(client, action) {
  const opened = await client.openShard(action.stream, action.shard, start(action.start));
  try {
    for (const step of action.steps) {
      if (step === "read") tellBatch(await opened.read());
      else if (step === "stream") await follow(opened.stream(options(action)), action);
      else if (step === "renew") await opened.renew();
      else if ("jump" in step) await opened.jump(start(step.jump));
      else tellBatch(await opened.seek(new Date(step.seek)));
    }
  } finally {
    await opened.close();
  }
}

async function play(client, action) {
  if (action.call in UNARY) return UNARY[action.call](client, action);
  if (action.call === "session") return session(client, action);
  if (action.call === "watch_shards") return watch(client, action);
  let place = start(action.start);
  if (action.beside) {
    kept.push(open(client, action, place));
    await kept.at(-1).next();
  }
  if (action.streams) {
    const streams = Array.from({ length: action.streams }, () => open(client, action, place));
    const got = await Promise.all(streams.map((stream) => stream.next()));
    return say({ streams: got.reduce((sum, { value }) => sum + value.records.length, 0) });
  }
  for (;;) {
    try {
      return await follow(open(client, action, place), action);
    } catch (error) {
      if (!action.accept || !error.losses?.length) throw error;
      tellError(error);
      place = error.token;
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const action = JSON.parse(line);
  const client = connect(action);
  try {
    await play(client, action);
  } catch (error) {
    tellError(error);
  } finally {
    client.close();
  }
  say({ done: true });
}
