package shardstream

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	pb "shardstream/v1"
)

// Number is a number as the text that DynamoDB sends, so that none of its 38 digits is lost.
type Number string

// Int64 is the number as an int64; an error if it is not one.
func (n Number) Int64() (int64, error) { return strconv.ParseInt(string(n), 10, 64) }

// Float64 is the nearest float64.
func (n Number) Float64() (float64, error) { return strconv.ParseFloat(string(n), 64) }

// Rat is the number, exactly.
func (n Number) Rat() (*big.Rat, bool) { return new(big.Rat).SetString(string(n)) }

// The sets of DynamoDB, in no order.
type (
	StringSet []string
	NumberSet []Number
	BinarySet [][]byte
)

// UnknownValue is a value of a type that this release does not know; Raw still has all of it.
type UnknownValue struct{ Raw *pb.AttributeValue }

// Numbers makes the value of a number of its text.
type Numbers func(text string) any

// Value is the Go value of one attribute: string, [Number], []byte, bool, nil, map[string]any, []any or a set.
func Value(raw *pb.AttributeValue) any { return readValue(bytesOf(raw), nil) }

// Values are the Go values of a map of attributes.
func Values(raw map[string]*pb.AttributeValue) map[string]any {
	return readMap(bytesOf(&pb.AttributeMap{Entries: raw}), 1, nil)
}

func bytesOf(raw proto.Message) string {
	bytes, err := proto.Marshal(raw)
	if err != nil {
		panic(err) // A text that is not UTF-8: nobody's attribute.
	}
	return string(bytes)
}

// Attribute is the attribute of a Go value, the reverse of [Value]. It takes Go's integers, finite floats and [*big.Int] too.
func Attribute(value any) (*pb.AttributeValue, error) {
	switch value := value.(type) {
	case nil:
		return &pb.AttributeValue{Value: &pb.AttributeValue_NullValue{NullValue: true}}, nil
	case bool:
		return &pb.AttributeValue{Value: &pb.AttributeValue_BoolValue{BoolValue: value}}, nil
	case string:
		return &pb.AttributeValue{Value: &pb.AttributeValue_S{S: value}}, nil
	case []byte:
		return &pb.AttributeValue{Value: &pb.AttributeValue_B{B: value}}, nil
	case map[string]any:
		entries, err := Attributes(value)
		return &pb.AttributeValue{Value: &pb.AttributeValue_M{M: &pb.AttributeMap{Entries: entries}}}, err
	case []any:
		list := make([]*pb.AttributeValue, len(value))
		for i, inner := range value {
			made, err := Attribute(inner)
			if err != nil {
				return nil, err
			}
			list[i] = made
		}
		return &pb.AttributeValue{Value: &pb.AttributeValue_L{L: &pb.AttributeList{Values: list}}}, nil
	case StringSet:
		return &pb.AttributeValue{Value: &pb.AttributeValue_Ss{Ss: &pb.StringSet{Values: value}}}, nil
	case NumberSet:
		texts := make([]string, len(value))
		for i, number := range value {
			texts[i] = string(number)
		}
		return &pb.AttributeValue{Value: &pb.AttributeValue_Ns{Ns: &pb.NumberSet{Values: texts}}}, nil
	case BinarySet:
		return &pb.AttributeValue{Value: &pb.AttributeValue_Bs{Bs: &pb.BinarySet{Values: value}}}, nil
	case UnknownValue:
		return value.Raw, nil
	}
	text, err := numberText(value)
	return &pb.AttributeValue{Value: &pb.AttributeValue_N{N: text}}, err
}

// Attributes are the attributes of a map of Go values.
func Attributes(values map[string]any) (map[string]*pb.AttributeValue, error) {
	attributes := make(map[string]*pb.AttributeValue, len(values))
	for name, value := range values {
		made, err := Attribute(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		attributes[name] = made
	}
	return attributes, nil
}

func numberText(value any) (string, error) {
	switch value := value.(type) {
	case Number:
		return string(value), nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, *big.Int:
		return fmt.Sprint(value), nil
	case float64:
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			return strconv.FormatFloat(value, 'g', -1, 64), nil
		}
	}
	return "", fmt.Errorf("DynamoDB has no type for %T (%v)", value, value)
}

// Whether two values, with numbers as text, are equal for DynamoDB, to which sets have no order.
func same(one, other any) bool {
	switch one := one.(type) {
	case map[string]any:
		other, ok := other.(map[string]any)
		return ok && maps.EqualFunc(one, other, same)
	case []any:
		other, ok := other.([]any)
		return ok && slices.EqualFunc(one, other, same)
	case []byte:
		other, ok := other.([]byte)
		return ok && bytes.Equal(one, other)
	case StringSet:
		other, ok := other.(StringSet)
		return ok && slices.Equal(sorted(one), sorted(other))
	case NumberSet:
		other, ok := other.(NumberSet)
		return ok && slices.Equal(sorted(one), sorted(other))
	case BinarySet:
		other, ok := other.(BinarySet)
		return ok && slices.EqualFunc(slices.SortedFunc(slices.Values(one), bytes.Compare),
			slices.SortedFunc(slices.Values(other), bytes.Compare), bytes.Equal)
	case UnknownValue:
		other, ok := other.(UnknownValue)
		return ok && proto.Equal(one.Raw, other.Raw)
	}
	switch other.(type) {
	case map[string]any, []any, []byte, StringSet, NumberSet, BinarySet: // What Go cannot compare.
		return false
	}
	return one == other
}

func sorted[T cmp.Ordered](set []T) []T { return slices.Sorted(slices.Values(set)) }
