package shardstream

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "shardstream/v1"
)

// Message is records of one shard, or one event, or both.
type Message struct {
	ShardID string
	Records []Record
	// Event is what happened beside records; nil when nothing did.
	Event Event
	// Token is the server's and covers everything up to here. Empty when none was due; see Position.
	Token string

	progress *progress
	raw      response
}

// Position goes on behind this message, on any server, in any process: keep it together with what you made of the message,
// and give it to [From]. Call it before the loop goes on. Empty while there is no token yet.
func (m *Message) Position() string { return m.progress.positionBehind(m.raw) }

// Event is a [*Gap], [*Unreadable], [*ShardOpen], [*ShardEnd], [*StreamEnd] or [*Heartbeat].
type Event any

// Events as they come from the server.
type (
	ShardOpen = pb.ShardOpen
	ShardEnd  = pb.ShardEnd
	StreamEnd = pb.StreamEnd
	Heartbeat = pb.Heartbeat
)

// Gap tells that records are gone, or may be.
type Gap struct {
	ShardID string
	// Cause is TRIMMED, SHARD_EXPIRED, STREAM_REPLACED, or UNKNOWN for one that came later.
	Cause string
	// Certain is false when it cannot be known whether there were records.
	Certain                                   bool
	AfterSequenceNumber, BeforeSequenceNumber string
	// The zero time where it is not known.
	AfterTime, DetectedTime time.Time
}

// Unreadable is one record that cannot be read, in its place between the others.
type Unreadable struct{ ShardID, SequenceNumber, AfterSequenceNumber, Cause string }

// Record is one change of one item.
type Record struct {
	ShardID string

	numbers Numbers
	// The bytes as they came, and parts of them.
	raw, meta, change, number string
}

// Raw is the message as it came, made at each call. Attributes of types that came later are in it.
func (r Record) Raw() *pb.ChangeRecord {
	raw := &pb.ChangeRecord{}
	_ = proto.Unmarshal([]byte(r.raw), raw) // Well-formed: that was seen when it came.
	return raw
}

// Key is the item's primary key. This and the images are made at each call.
func (r Record) Key() map[string]any { return readMap(r.raw, 1, r.numbers) }

// NewImage is the item after the change. Nil when it was removed, or the stream does not carry this image.
func (r Record) NewImage() map[string]any { return r.image(2) }

// OldImage is the item before the change. Nil when it was inserted, or the stream does not carry this image.
func (r Record) OldImage() map[string]any { return r.image(3) }

func (r Record) image(number protowire.Number) map[string]any {
	if values := readMap(r.raw, number, r.numbers); len(values) > 0 {
		return values
	}
	return nil
}

// Type is INSERT, MODIFY, REMOVE, or AWS's own word for a kind that came later.
func (r Record) Type() string {
	kind := word(pb.ChangeType_name, int32(findNumber(r.change, 2)), "CHANGE_TYPE_")
	return cmp.Or(find(r.change, 4), kind)
}

// ID is AWS's id of the change: the same whenever the record is read again. Empty when AWS gave none.
func (r Record) ID() string { return find(r.change, 1) }

// SequenceNumber is the record's place in its shard: digits, to be compared as an integer.
func (r Record) SequenceNumber() string { return r.number }

// CreatedAt is when the change was made, to the second. The zero time when AWS did not say.
func (r Record) CreatedAt() time.Time {
	text := find(r.meta, 1)
	if text == "" {
		return time.Time{}
	}
	return time.Unix(int64(findNumber(text, 1)), int64(findNumber(text, 2))).UTC()
}

// ByTimeToLive is whether time to live deleted the item, and no writer.
func (r Record) ByTimeToLive() bool {
	return find(find(r.meta, 6), 2) == "dynamodb.amazonaws.com"
}

type absent struct{}

func (absent) String() string { return "ABSENT" }

// Absent stands in a [Change] for an attribute that an image does not have. (A nil is DynamoDB's NULL.)
var Absent any = absent{}

// Change is an attribute that differs between the images.
type Change struct{ Old, New any }

// ErrNoImages is what [Record.Changed] says of streams that do not carry both images.
var ErrNoImages = errors.New("shardstream: the stream's view type is not NEW_AND_OLD_IMAGES")

// Changed has the attributes that differ between the images. [ErrNoImages] unless the stream carries both.
func (r Record) Changed() (map[string]Change, error) {
	view := pb.StreamViewType(findNumber(r.meta, 5))
	if view != pb.StreamViewType_STREAM_VIEW_TYPE_UNSPECIFIED && view != pb.StreamViewType_STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES {
		return nil, ErrNoImages
	}
	// Numbers that are not text may be of a type that Go cannot compare.
	before, after := readMap(r.raw, 3, nil), readMap(r.raw, 2, nil)
	shownBefore, shownAfter := before, after
	if r.numbers != nil {
		shownBefore, shownAfter = r.OldImage(), r.NewImage()
	}
	changed := map[string]Change{}
	for name, value := range before {
		if found, ok := after[name]; !ok {
			changed[name] = Change{shownBefore[name], Absent}
		} else if !same(value, found) {
			changed[name] = Change{shownBefore[name], shownAfter[name]}
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			changed[name] = Change{Absent, shownAfter[name]}
		}
	}
	return changed, nil
}

// Batch is the answer of one read: records, or Exhausted, never both.
type Batch struct {
	Records []Record
	// Token is where to read on.
	Token string
	// Exhausted: the shard is closed and was read to its end. AtTip: there was no newer record.
	Exhausted, AtTip bool
	Unreadable       []*Unreadable
}

func gapOf(raw *pb.Gap) *Gap {
	cause := word(pb.GapCause_name, int32(raw.GetCause()), "GAP_CAUSE_")
	if cause == "" {
		cause = "UNKNOWN"
	}
	return &Gap{
		raw.GetShardId(), cause, raw.GetCertain(), raw.GetAfterSequenceNumber(), raw.GetBeforeSequenceNumber(),
		timeOf(raw.GetAfterTime()), timeOf(raw.GetDetectedTime()),
	}
}

func unreadableOf(raw *pb.Unreadable) *Unreadable {
	return &Unreadable{raw.GetShardId(), raw.GetSequenceNumber(), raw.GetAfterSequenceNumber(), raw.GetCause()}
}

func timeOf(raw *timestamppb.Timestamp) time.Time {
	if raw == nil {
		return time.Time{}
	}
	return raw.AsTime()
}

// The last words of an enum value's name. Empty for UNSPECIFIED and for values that came later.
func word(names map[int32]string, value int32, prefix string) string {
	if value == 0 {
		return ""
	}
	return strings.TrimPrefix(names[value], prefix)
}
