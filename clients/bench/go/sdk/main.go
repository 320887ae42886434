// Reads a table's stream by the plain loop of aws-sdk-go-v2. Values are made by hand, which costs less than attributevalue.
package main

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"bench/reading"
	"shardstream"
)

type change struct {
	id, kind, number string
	key, old, new    map[string]any
}

func main() {
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
	})
	var client *dynamodbstreams.Client
	reading.Measured(func(place reading.Place) (int, error) {
		if client == nil {
			client = dynamodbstreams.New(dynamodbstreams.Options{
				BaseEndpoint: &place.DynamoDB, Region: "eu-west-1", Credentials: credentials,
			})
		}
		return read(context.Background(), client, place)
	})
}

func read(ctx context.Context, client *dynamodbstreams.Client, place reading.Place) (int, error) {
	streams, err := client.ListStreams(ctx, &dynamodbstreams.ListStreamsInput{TableName: &place.Table})
	if err != nil {
		return 0, err
	}
	arn := streams.Streams[0].StreamArn
	stream, err := client.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		return 0, err
	}
	seen := 0
	for _, shard := range stream.StreamDescription.Shards {
		first, err := client.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			return seen, err
		}
		for iterator := first.ShardIterator; iterator != nil && seen < place.Records; {
			page, err := client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator})
			if err != nil {
				return seen, err
			}
			for _, record := range page.Records {
				made := change{
					*record.EventID, string(record.EventName), *record.Dynamodb.SequenceNumber,
					image(record.Dynamodb.Keys), image(record.Dynamodb.OldImage), image(record.Dynamodb.NewImage),
				}
				if made.new["id"] == nil {
					log.Fatal("a record without its item")
				}
				reading.Sink = made
				seen++
			}
			iterator = page.NextShardIterator
		}
	}
	return seen, nil
}

func image(raw map[string]types.AttributeValue) map[string]any {
	if len(raw) == 0 {
		return nil
	}
	made := make(map[string]any, len(raw))
	for name, value := range raw {
		made[name] = native(value)
	}
	return made
}

func native(raw types.AttributeValue) any {
	switch value := raw.(type) {
	case *types.AttributeValueMemberS:
		return value.Value
	case *types.AttributeValueMemberN:
		return shardstream.Number(value.Value)
	case *types.AttributeValueMemberB:
		return value.Value
	case *types.AttributeValueMemberBOOL:
		return value.Value
	case *types.AttributeValueMemberSS:
		return value.Value
	case *types.AttributeValueMemberNS:
		return value.Value
	case *types.AttributeValueMemberBS:
		return value.Value
	case *types.AttributeValueMemberM:
		return image(value.Value)
	case *types.AttributeValueMemberL:
		list := make([]any, len(value.Value))
		for i, inner := range value.Value {
			list[i] = native(inner)
		}
		return list
	}
	return nil
}
