/** Reads a table's stream by the plain loop of the AWS SDK, with its own `unmarshall`. */

import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListStreamsCommand,
} from "@aws-sdk/client-dynamodb-streams";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import { measured } from "./reading.js";

let client;
export let sink;
const image = (raw) => (raw && Object.keys(raw).length ? unmarshall(raw) : undefined);

await measured(async ({ dynamodb, table, records }) => {
  const credentials = { accessKeyId: "x", secretAccessKey: "x" };
  client ??= new DynamoDBStreamsClient({ endpoint: dynamodb, region: "eu-west-1", credentials });
  const { Streams } = await client.send(new ListStreamsCommand({ TableName: table }));
  const { StreamArn } = Streams[0];
  const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamArn }));
  let seen = 0;
  for (const { ShardId } of StreamDescription.Shards) {
    const place = { StreamArn, ShardId, ShardIteratorType: "TRIM_HORIZON" };
    let { ShardIterator } = await client.send(new GetShardIteratorCommand(place));
    while (ShardIterator && seen < records) {
      const page = await client.send(new GetRecordsCommand({ ShardIterator }));
      for (const { eventID, eventName, dynamodb: entry } of page.Records) {
        sink = {
          id: eventID,
          type: eventName,
          sequenceNumber: entry.SequenceNumber,
          key: image(entry.Keys),
          oldImage: image(entry.OldImage),
          newImage: image(entry.NewImage),
        };
        if (!sink.newImage.id) throw new Error("a record without its item");
        seen++;
      }
      ShardIterator = page.NextShardIterator;
    }
  }
  return seen;
});
