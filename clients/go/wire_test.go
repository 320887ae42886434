package shardstream

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "shardstream/v1"
)

// An attribute by lot, as DynamoDB may send it.
func drawn(lot *rand.Rand, levels int) *pb.AttributeValue {
	text := func() string { return fmt.Sprintf("%x", lot.Uint64())[:lot.IntN(8)] }
	texts := make([]string, lot.IntN(3))
	for i := range texts {
		texts[i] = text()
	}
	kind := lot.IntN(10)
	if levels == 0 {
		kind %= 8
	}
	switch kind {
	case 0:
		return &pb.AttributeValue{Value: &pb.AttributeValue_S{S: text()}}
	case 1:
		return &pb.AttributeValue{Value: &pb.AttributeValue_N{N: text()}}
	case 2:
		return &pb.AttributeValue{Value: &pb.AttributeValue_B{B: []byte(text())}}
	case 3:
		return &pb.AttributeValue{Value: &pb.AttributeValue_Ss{Ss: &pb.StringSet{Values: texts}}}
	case 4:
		return &pb.AttributeValue{Value: &pb.AttributeValue_Ns{Ns: &pb.NumberSet{Values: texts}}}
	case 5:
		return &pb.AttributeValue{Value: &pb.AttributeValue_Bs{Bs: &pb.BinarySet{Values: [][]byte{[]byte(text())}}}}
	case 6:
		return &pb.AttributeValue{Value: &pb.AttributeValue_NullValue{NullValue: true}}
	case 7:
		return &pb.AttributeValue{Value: &pb.AttributeValue_BoolValue{BoolValue: lot.IntN(2) == 0}}
	case 8:
		return &pb.AttributeValue{Value: &pb.AttributeValue_M{M: &pb.AttributeMap{Entries: drawnMap(lot, levels-1)}}}
	}
	list := &pb.AttributeList{}
	for range lot.IntN(4) {
		list.Values = append(list.Values, drawn(lot, levels-1))
	}
	return &pb.AttributeValue{Value: &pb.AttributeValue_L{L: list}}
}

func drawnMap(lot *rand.Rand, levels int) map[string]*pb.AttributeValue {
	drawnOnes := map[string]*pb.AttributeValue{}
	for range lot.IntN(5) {
		drawnOnes[fmt.Sprint(lot.IntN(100))] = drawn(lot, levels)
	}
	return drawnOnes
}

func split(bytes []byte) (*answer, error) {
	into := &answer{rest: &pb.SubscribeResponse{}}
	err := codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(bytes)}, into)
	return into, err
}

func TestRecordsAreReadAsTheGeneratedMessagesAre(t *testing.T) {
	for seed := range uint64(300) {
		lot := rand.New(rand.NewPCG(seed, 0))
		sent := &pb.ChangeRecord{
			Key: drawnMap(lot, 0), NewImage: drawnMap(lot, 4), OldImage: drawnMap(lot, 4),
			Meta: &pb.Meta{
				CreatedAt:      timestamppb.New(time.Unix(int64(lot.IntN(1_000_000)), 0)),
				SequenceNumber: fmt.Sprint(lot.Uint64()), StreamViewType: pb.StreamViewType_STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES,
				Change:       &pb.Change{Id: fmt.Sprint(seed), Type: pb.ChangeType_CHANGE_TYPE_MODIFY},
				UserIdentity: &pb.UserIdentity{PrincipalId: "dynamodb.amazonaws.com"},
			},
		}
		bytes, err := proto.Marshal(&pb.SubscribeResponse{Records: []*pb.ChangeRecord{sent, sent}, ShardId: "a", Token: "t1"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := split(bytes)
		if err != nil || len(got.records) != 2 {
			t.Fatalf("seed %d: %v, %d records", seed, err, len(got.records))
		}
		if !proto.Equal(got.rest, &pb.SubscribeResponse{ShardId: "a", Token: "t1"}) {
			t.Errorf("seed %d: the rest is %v", seed, got.rest)
		}
		record := got.records[1]
		for what, pair := range map[string][2]map[string]any{
			"key": {record.Key(), Values(sent.Key)}, "new": {record.NewImage(), Values(sent.NewImage)},
			"old": {record.OldImage(), Values(sent.OldImage)},
		} {
			back, err := Attributes(pair[0])
			wanted := map[string]map[string]*pb.AttributeValue{"key": sent.Key, "new": sent.NewImage, "old": sent.OldImage}[what]
			if err != nil || !proto.Equal(&pb.AttributeMap{Entries: back}, &pb.AttributeMap{Entries: wanted}) {
				t.Errorf("seed %d: %s is %v, sent was %v", seed, what, back, wanted)
			}
			if len(wanted) > 0 && !same(pair[0], pair[1]) {
				t.Errorf("seed %d: %s is not equal to itself", seed, what)
			}
		}
		if !proto.Equal(record.Raw(), sent) || !record.CreatedAt().Equal(sent.Meta.CreatedAt.AsTime()) || record.ID() != fmt.Sprint(seed) ||
			record.Type() != "MODIFY" || record.SequenceNumber() != sent.Meta.SequenceNumber || !record.ByTimeToLive() {
			t.Errorf("seed %d: %v", seed, record.Raw())
		}
	}
}

func TestMalformedRecordsAreRefused(t *testing.T) {
	lot := rand.New(rand.NewPCG(7, 0))
	sent := &pb.ChangeRecord{NewImage: map[string]*pb.AttributeValue{"m": drawn(lot, 4), "l": drawn(lot, 4), "n": drawn(lot, 0)}}
	record, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	// Cut anywhere, and with any byte another: what generated messages refuse for its form is refused, and nothing panics.
	for at := range record {
		for _, bytes := range [][]byte{record[:at], append(append(append([]byte{}, record[:at]...), record[at]^byte(1+lot.IntN(255))), record[at+1:]...)} {
			framed := append([]byte{1<<3 | 2, byte(len(bytes)&0x7f) | 0x80, byte(len(bytes) >> 7)}, bytes...)
			got, err := split(framed)
			if err != nil {
				refused++
				continue
			}
			_, _ = got.records[0].NewImage(), got.records[0].Raw()
		}
	}
	if refused == 0 {
		t.Error("everything passes")
	}
	if _, err := split([]byte{1<<3 | 2, 200}); err == nil {
		t.Error("a message that is cut passes")
	}
}
