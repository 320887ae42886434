// Package sdkv2 is what users of aws-sdk-go-v2 want beside the client: a store in a DynamoDB table, and the SDK's values.
package sdkv2

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	pb "shardstream/v1"
)

// Table is what a [Store] needs of [dynamodb.Client].
type Table interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Store keeps a position in an item of a DynamoDB table.
type Store struct {
	client Table
	table  string
	key    map[string]types.AttributeValue
	// Attribute holds the position; "position" unless changed.
	Attribute string
}

// NewStore is a store in the item of this key.
func NewStore(client Table, table string, key map[string]types.AttributeValue) *Store {
	return &Store{client, table, key, "position"}
}

// Load gives the position in the item; empty when there is no item.
func (s *Store) Load(ctx context.Context) (string, error) {
	input := &dynamodb.GetItemInput{TableName: &s.table, Key: s.key, ConsistentRead: aws.Bool(true)}
	found, err := s.client.GetItem(ctx, input)
	if err != nil {
		return "", err
	}
	switch value := found.Item[s.Attribute].(type) {
	case nil:
		return "", nil
	case *types.AttributeValueMemberS:
		return value.Value, nil
	default:
		return "", fmt.Errorf("shardstream: %s of the item in %s is a %T", s.Attribute, s.table, value)
	}
}

// Save replaces the attribute.
func (s *Store) Save(ctx context.Context, position string) error {
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: s.key, UpdateExpression: aws.String("SET #p = :p"),
		ExpressionAttributeNames:  map[string]string{"#p": s.Attribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: position}},
	})
	return err
}

// Values are the SDK's values of an image, such as record.Raw().NewImage: for attributevalue.UnmarshalMap, or to write
// them elsewhere. A value of a type that this release does not know is an [*types.UnknownUnionMember].
func Values(raw map[string]*pb.AttributeValue) map[string]types.AttributeValue {
	values := make(map[string]types.AttributeValue, len(raw))
	for name, value := range raw {
		values[name] = Value(value)
	}
	return values
}

// Value is the SDK's value of one attribute.
func Value(raw *pb.AttributeValue) types.AttributeValue {
	switch value := raw.GetValue().(type) {
	case *pb.AttributeValue_S:
		return &types.AttributeValueMemberS{Value: value.S}
	case *pb.AttributeValue_N:
		return &types.AttributeValueMemberN{Value: value.N}
	case *pb.AttributeValue_B:
		return &types.AttributeValueMemberB{Value: value.B}
	case *pb.AttributeValue_Ss:
		return &types.AttributeValueMemberSS{Value: value.Ss.GetValues()}
	case *pb.AttributeValue_Ns:
		return &types.AttributeValueMemberNS{Value: value.Ns.GetValues()}
	case *pb.AttributeValue_Bs:
		return &types.AttributeValueMemberBS{Value: value.Bs.GetValues()}
	case *pb.AttributeValue_M:
		return &types.AttributeValueMemberM{Value: Values(value.M.GetEntries())}
	case *pb.AttributeValue_L:
		list := make([]types.AttributeValue, len(value.L.GetValues()))
		for i, inner := range value.L.GetValues() {
			list[i] = Value(inner)
		}
		return &types.AttributeValueMemberL{Value: list}
	case *pb.AttributeValue_BoolValue:
		return &types.AttributeValueMemberBOOL{Value: value.BoolValue}
	case *pb.AttributeValue_NullValue:
		return &types.AttributeValueMemberNULL{Value: value.NullValue}
	}
	return &types.UnknownUnionMember{Tag: "UNKNOWN"}
}
