package sdkv2

import (
	"context"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"shardstream"
)

// A table of one item.
type table struct {
	item map[string]types.AttributeValue
}

func (t *table) GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return &dynamodb.GetItemOutput{Item: t.item}, nil
}

func (t *table) UpdateItem(
	_ context.Context, input *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.UpdateItemOutput, error) {
	t.item = map[string]types.AttributeValue{input.ExpressionAttributeNames["#p"]: input.ExpressionAttributeValues[":p"]}
	return &dynamodb.UpdateItemOutput{}, nil
}

func TestStoreGivesWhatItKept(t *testing.T) {
	var store shardstream.TokenStore = NewStore(&table{}, "tokens", nil)
	for _, position := range []string{"", "t1 a1"} {
		if position != "" {
			if err := store.Save(t.Context(), position); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := store.Load(t.Context()); got != position || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	wrong := &table{map[string]types.AttributeValue{"position": &types.AttributeValueMemberN{Value: "1"}}}
	if _, err := NewStore(wrong, "tokens", nil).Load(t.Context()); err == nil {
		t.Error("a number is no position")
	}
}

func TestValuesAreTheSDKs(t *testing.T) {
	raw, err := shardstream.Attributes(map[string]any{
		"s": "text", "n": shardstream.Number("1.50"), "b": []byte{0}, "t": true, "null": nil,
		"m": map[string]any{"l": []any{"x"}}, "ss": shardstream.StringSet{"x"}, "ns": shardstream.NumberSet{"1"},
		"bs": shardstream.BinarySet{{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]types.AttributeValue{
		"s": &types.AttributeValueMemberS{Value: "text"}, "n": &types.AttributeValueMemberN{Value: "1.50"},
		"b": &types.AttributeValueMemberB{Value: []byte{0}}, "t": &types.AttributeValueMemberBOOL{Value: true},
		"null": &types.AttributeValueMemberNULL{Value: true},
		"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
			"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberS{Value: "x"}}},
		}},
		"ss": &types.AttributeValueMemberSS{Value: []string{"x"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1"}},
		"bs": &types.AttributeValueMemberBS{Value: [][]byte{{1}}},
	}
	if got := Values(raw); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
