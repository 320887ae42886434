package shardstream

import (
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // The codec of everything but records.
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "shardstream/v1"
)

// Records are most of what comes, and are read from their bytes straight into Go's values: by way of the generated messages
// each costs more than twice as much (clients/bench). The other fields of an answer go to its message.

// An answer whose field 1 are records.
type answer struct {
	records []Record
	rest    proto.Message
}

type codec struct{ encoding.CodecV2 }

var withCodec = grpc.ForceCodecV2(codec{encoding.GetCodecV2("proto")})

var errMalformed = errors.New("a malformed record")

// Unmarshal splits an answer.
func (c codec) Unmarshal(data mem.BufferSlice, into any) error {
	split, ok := into.(*answer)
	if !ok {
		return c.CodecV2.Unmarshal(data, into)
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	bytes := buffer.ReadOnlyData()
	var rest []byte
	for len(bytes) > 0 {
		number, kind, head := protowire.ConsumeTag(bytes)
		if head < 0 {
			return protowire.ParseError(head)
		}
		size := protowire.ConsumeFieldValue(number, kind, bytes[head:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		if number == 1 && kind == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(bytes[head:])
			// A string of its own, of which all texts of the record are parts: keeping one of them keeps no other record.
			record := Record{raw: string(inner)}
			if !wellFormed(record.raw, recordShape) {
				return errMalformed
			}
			meta := find(record.raw, 4)
			record.meta, record.change, record.number = meta, find(meta, 2), find(meta, 3)
			split.records = append(split.records, record)
		} else {
			rest = append(rest, bytes[:head+size]...)
		}
		bytes = bytes[head+size:]
	}
	return proto.Unmarshal(rest, split.rest)
}

// Whether a message is one, and those in it that are read later.
func wellFormed(text string, inner shape) bool {
	for text != "" {
		f, rest := next(text)
		if f.number == 0 {
			return false
		}
		for _, part := range inner {
			if part.number == f.number && (f.kind != protowire.BytesType || !wellFormed(f.text, *part.shape)) {
				return false
			}
		}
		text = rest
	}
	return true
}

// The fields of a message that are messages.
type shape []struct {
	number protowire.Number
	shape  *shape
}

var (
	leaf           shape
	attributeShape shape
	entryShape     = shape{{2, &attributeShape}}
	mapShape       = shape{{1, &entryShape}}
	metaShape      = shape{{1, &leaf}, {2, &leaf}, {6, &leaf}}
	recordShape    = shape{{1, &entryShape}, {2, &entryShape}, {3, &entryShape}, {4, &metaShape}}
)

func init() {
	attributeShape = shape{{4, &leaf}, {5, &leaf}, {6, &leaf}, {7, &mapShape}, {8, &shape{{1, &attributeShape}}}}
}

// A field of a message: its text if it has bytes, else the bits of its number.
type field struct {
	number protowire.Number
	kind   protowire.Type
	text   string
	bits   uint64
}

// The first field, and what follows it. The number is 0 if the message is malformed.
func next(text string) (field, string) {
	tag, text := varint(text)
	f := field{number: protowire.Number(tag >> 3), kind: protowire.Type(tag & 7)}
	size := 0
	switch f.kind {
	case protowire.VarintType:
		before := len(text)
		if f.bits, text = varint(text); len(text) == before {
			f.number = 0
		}
		return f, text
	case protowire.BytesType:
		before := len(text)
		length, rest := varint(text)
		if len(rest) == before || length > uint64(len(rest)) {
			return field{}, ""
		}
		f.text = rest[:length]
		return f, rest[length:]
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	}
	if size == 0 || size > len(text) {
		return field{}, "" // Groups are no part of proto3.
	}
	return f, text[size:]
}

// The number at the beginning, and what follows it: all of it if there is none.
func varint(text string) (uint64, string) {
	var bits uint64
	for i := 0; i < len(text) && i < 10; i++ {
		bits |= uint64(text[i]&0x7f) << (7 * i)
		if text[i] < 0x80 {
			return bits, text[i+1:]
		}
	}
	return 0, text
}

// The field of bytes with this number; the last one, as protobuf has it.
func find(text string, number protowire.Number) (found string) {
	for text != "" {
		var f field
		if f, text = next(text); f.number == number {
			found = f.text
		}
	}
	return found
}

// The field of a number.
func findNumber(text string, number protowire.Number) (found uint64) {
	for text != "" {
		var f field
		if f, text = next(text); f.number == number {
			found = f.bits
		}
	}
	return found
}

// The fields of bytes with this number.
func findAll(text string, number protowire.Number) []string {
	found := make([]string, 0, count(text, number))
	for text != "" {
		var f field
		if f, text = next(text); f.number == number {
			found = append(found, f.text)
		}
	}
	return found
}

func count(text string, number protowire.Number) (found int) {
	for text != "" {
		var f field
		if f, text = next(text); f.number == number {
			found++
		}
	}
	return found
}

// The Go values of the map of attributes in this field of a message.
func readMap(text string, number protowire.Number, numbers Numbers) map[string]any {
	values := make(map[string]any, count(text, number))
	for text != "" {
		var f field
		if f, text = next(text); f.number == number {
			values[find(f.text, 1)] = readValue(find(f.text, 2), numbers)
		}
	}
	return values
}

// The Go value of the bytes of an attribute.
func readValue(text string, numbers Numbers) any {
	var last field
	for rest := text; rest != ""; {
		var f field
		if f, rest = next(rest); f.number >= 1 && f.number <= 10 {
			last = f
		}
	}
	switch last.number {
	case 1:
		return last.text
	case 2:
		if numbers != nil {
			return numbers(last.text)
		}
		return Number(last.text)
	case 3:
		return []byte(last.text)
	case 4:
		return StringSet(findAll(last.text, 1))
	case 5:
		texts := findAll(last.text, 1)
		set := make(NumberSet, len(texts))
		for i, text := range texts {
			set[i] = Number(text)
		}
		return set
	case 6:
		texts := findAll(last.text, 1)
		set := make(BinarySet, len(texts))
		for i, text := range texts {
			set[i] = []byte(text)
		}
		return set
	case 7:
		return readMap(last.text, 1, numbers)
	case 8:
		texts := findAll(last.text, 1)
		list := make([]any, len(texts))
		for i, text := range texts {
			list[i] = readValue(text, numbers)
		}
		return list
	case 9:
		return nil
	case 10:
		return last.bits != 0
	}
	raw := &pb.AttributeValue{}
	_ = proto.Unmarshal([]byte(text), raw) // Well-formed: that was seen when it came.
	return UnknownValue{raw}
}
