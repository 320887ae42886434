package shardstream

import (
	"errors"
	"strings"
	"time"

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
	// Raw is the message as it came.
	Raw *pb.ChangeRecord

	numbers Numbers
}

// Key is the item's primary key. This and the images are made at each call.
func (r Record) Key() map[string]any { return valuesOf(r.Raw.GetKey(), r.numbers) }

// NewImage is the item after the change. Nil when it was removed, or the stream does not carry this image.
func (r Record) NewImage() map[string]any { return r.image(r.Raw.GetNewImage()) }

// OldImage is the item before the change. Nil when it was inserted, or the stream does not carry this image.
func (r Record) OldImage() map[string]any { return r.image(r.Raw.GetOldImage()) }

func (r Record) image(raw map[string]*pb.AttributeValue) map[string]any {
	if len(raw) == 0 {
		return nil
	}
	return valuesOf(raw, r.numbers)
}

// Type is INSERT, MODIFY, REMOVE, or AWS's own word for a kind that came later.
func (r Record) Type() string {
	change := r.Raw.GetMeta().GetChange()
	if change.GetName() != "" {
		return change.GetName()
	}
	return word(pb.ChangeType_name, int32(change.GetType()), "CHANGE_TYPE_")
}

// ID is AWS's id of the change: the same whenever the record is read again. Empty when AWS gave none.
func (r Record) ID() string { return r.Raw.GetMeta().GetChange().GetId() }

// SequenceNumber is the record's place in its shard: digits, to be compared as an integer.
func (r Record) SequenceNumber() string { return r.Raw.GetMeta().GetSequenceNumber() }

// CreatedAt is when the change was made, to the second. The zero time when AWS did not say.
func (r Record) CreatedAt() time.Time { return timeOf(r.Raw.GetMeta().GetCreatedAt()) }

// ByTimeToLive is whether time to live deleted the item, and no writer.
func (r Record) ByTimeToLive() bool {
	return r.Raw.GetMeta().GetUserIdentity().GetPrincipalId() == "dynamodb.amazonaws.com"
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
	view := r.Raw.GetMeta().GetStreamViewType()
	if view != pb.StreamViewType_STREAM_VIEW_TYPE_UNSPECIFIED && view != pb.StreamViewType_STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES {
		return nil, ErrNoImages
	}
	changed := map[string]Change{}
	for name, value := range r.Raw.GetOldImage() {
		if found, ok := r.Raw.GetNewImage()[name]; !ok {
			changed[name] = Change{valueOf(value, r.numbers), Absent}
		} else if !same(value, found) {
			changed[name] = Change{valueOf(value, r.numbers), valueOf(found, r.numbers)}
		}
	}
	for name, value := range r.Raw.GetNewImage() {
		if _, ok := r.Raw.GetOldImage()[name]; !ok {
			changed[name] = Change{Absent, valueOf(value, r.numbers)}
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
