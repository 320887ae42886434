// The plain loop of the AWS SDK v3 for JavaScript.

import { createInterface } from "node:readline";
import { DynamoDBStreamsClient, GetRecordsCommand, GetShardIteratorCommand } from "@aws-sdk/client-dynamodb-streams";

const plan = JSON.parse(process.argv[2]);
const client = new DynamoDBStreamsClient({ endpoint: plan.upstream, region: "us-east-1" });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const begin = "7000000000000";

async function readShard(shard, wanted) {
  let seen = 0;
  const place = { StreamArn: plan.stream, ShardId: shard, ShardIteratorType: "TRIM_HORIZON" };
  let iterator = (await client.send(new GetShardIteratorCommand(place))).ShardIterator;
  while (iterator && seen < wanted) {
    const page = await client.send(new GetRecordsCommand({ ShardIterator: iterator }));
    for (const record of page.Records) {
      const number = record.dynamodb.SequenceNumber;
      if (Number(number.slice(begin.length)) !== seen) {
        throw new Error(`record ${seen} was to come, and ${number} came`);
      }
      seen += 1;
    }
    iterator = page.NextShardIterator;
  }
  return seen;
}

await readShard(plan.warm_shard, plan.warm_records);
console.log("ready");
await lines.next();
let records = 0;
for (const shard of plan.shards) {
  records += await readShard(shard, Math.min(plan.shard_records, plan.records - records));
}
console.log(JSON.stringify({ records }));
// Stays until its CPU time was looked up.
await lines.next();
process.exit();
