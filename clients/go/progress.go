package shardstream

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "shardstream/v1"
)

const mostShardTokens = 10_000

// What the messages of both kinds of stream have.
type response interface {
	proto.Message
	GetShardId() string
	GetShardToken() string
	GetHeartbeat() *pb.Heartbeat
	GetShardEnd() *pb.ShardEnd
	GetGap() *pb.Gap
	GetUnreadable() *pb.Unreadable
	GetEnd() *pb.End
	GetToken() string
}

// How far a stream has come, and which records must not be given a second time.
type progress struct {
	token string
	// The newest token of each shard that came after `token`, in the order of the shards.
	shardTokens map[string]string
	shards      []string
	// The last sequence number given of each shard since `token`, and the ids of the changes that bear it.
	given map[string]*last
	// The same as of the last resume: until a shard has passed it, its records may be repeats.
	repeats map[string]*last
	// A loss was told that nobody has accepted yet: nothing behind it is covered.
	lossy bool
}

type last struct {
	number string
	ids    []string
}

func progressAt(position string) *progress {
	p := &progress{shardTokens: map[string]string{}, given: map[string]*last{}, repeats: map[string]*last{}}
	for i, token := range strings.Fields(position) {
		if i == 0 {
			p.token = token
		} else {
			p.keep(token, token)
		}
	}
	return p
}

// The text that goes on after everything that is covered. Empty before the first token.
func (p *progress) position() string {
	return strings.Join(append([]string{p.token}, p.tokens()...), " ")
}

// The same, once the message is covered.
func (p *progress) positionBehind(raw response) string {
	switch {
	case p.lossy || raw.GetToken() == "" && (raw.GetShardToken() == "" || p.token == ""):
		return p.position()
	case raw.GetToken() != "":
		return raw.GetToken()
	}
	behind := &progress{token: p.token, shardTokens: maps.Clone(p.shardTokens), shards: slices.Clone(p.shards)}
	behind.cover(raw)
	return behind.position()
}

// The tokens of shards to send beside the stream's.
func (p *progress) tokens() []string {
	tokens := []string{}
	for _, shard := range p.shards[:min(len(p.shards), mostShardTokens)] {
		if p.token != "" {
			tokens = append(tokens, p.shardTokens[shard])
		}
	}
	return tokens
}

func (p *progress) keep(shard, token string) {
	if _, known := p.shardTokens[shard]; !known {
		p.shards = append(p.shards, shard)
	}
	p.shardTokens[shard] = token
}

// The program is done with this message: its tokens count from now on.
func (p *progress) cover(raw response) {
	if p.lossy {
		return
	}
	if raw.GetToken() != "" {
		p.token, p.shards = raw.GetToken(), p.shards[:0]
		clear(p.shardTokens)
		clear(p.given)
	} else if raw.GetShardToken() != "" {
		p.keep(cmp.Or(raw.GetGap().GetShardId(), raw.GetUnreadable().GetShardId(), raw.GetShardId()), raw.GetShardToken())
	}
}

// The records of a message that were not given before; they count as given from now on.
func (p *progress) give(raw response, records []Record) []Record {
	if len(records) == 0 {
		return nil
	}
	if _, repeats := p.repeats[raw.GetShardId()]; repeats {
		records = slices.DeleteFunc(slices.Clone(records), func(record Record) bool {
			return p.isRepeat(raw.GetShardId(), record)
		})
	}
	at := p.given[raw.GetShardId()]
	if at == nil {
		at = &last{}
		p.given[raw.GetShardId()] = at
	}
	for _, record := range records {
		if number := record.number; number != "" {
			if compareNumbers(number, at.number) != 0 {
				at.number, at.ids = number, at.ids[:0]
			}
			at.ids = append(at.ids, record.ID())
		}
	}
	return records
}

// A new stream begins. The server repeats nothing when it honours all tokens; this is for when it cannot.
func (p *progress) resume() {
	p.lossy = false
	for shard, at := range p.given {
		if at.number != "" {
			p.repeats[shard] = &last{at.number, slices.Clone(at.ids)}
		}
	}
}

func (p *progress) isRepeat(shard string, record Record) bool {
	at, number := p.repeats[shard], record.number
	if at == nil || number == "" {
		return false
	}
	order := compareNumbers(number, at.number)
	if order > 0 {
		delete(p.repeats, shard)
	}
	// Streams that are not AWS's may give several records one number.
	return order < 0 || order == 0 && slices.Contains(at.ids, record.ID())
}

// Compares digits as integers.
func compareNumbers(one, other string) int {
	if one == other {
		return 0
	}
	one, other = strings.TrimLeft(one, "0"), strings.TrimLeft(other, "0")
	return cmp.Or(cmp.Compare(len(one), len(other)), cmp.Compare(one, other))
}

// When to come again.
type backoff struct {
	timing       Timing
	patience     time.Duration
	next         time.Duration
	opened       time.Time
	failingSince time.Time
}

func newBackoff(timing Timing, patience time.Duration) *backoff {
	return &backoff{timing: timing, patience: min(patience, timing.Patience), next: timing.FirstPause, opened: time.Now()}
}

// A message came; `served`: it shows that the server is well.
func (b *backoff) heard(served bool) {
	if served {
		b.failingSince = time.Time{}
	}
	if served || time.Since(b.opened) > b.timing.Lasting {
		b.next = b.timing.FirstPause
	}
}

// How long to wait before the next attempt; false if there must be none, or have been too many.
func (b *backoff) pause(failed *Error) (time.Duration, bool) {
	now := time.Now()
	if b.failingSince.IsZero() {
		b.failingSince = now
	}
	if !failed.mayPass() || now.Sub(b.failingSince)+failed.RetryDelay > b.patience {
		return 0, false
	}
	pause := time.Duration(float64(b.next) * (0.5 + rand.Float64()/2))
	b.next = min(2*b.next, b.timing.LongestPause)
	return max(pause, failed.RetryDelay), true
}
