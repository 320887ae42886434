package shardstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "shardstream/v1"
)

// Start is where to start. The zero value is the default of the call.
type Start struct {
	position *pb.Position
	kept     string
}

var (
	// TrimHorizon is the oldest record that is kept.
	TrimHorizon = Start{position: &pb.Position{IteratorType: pb.IteratorType_ITERATOR_TYPE_TRIM_HORIZON}}
	// Latest is what is written from now on.
	Latest = Start{position: &pb.Position{IteratorType: pb.IteratorType_ITERATOR_TYPE_LATEST}}
)

// From goes on from a position that was kept: [Message.Position], the Token of an [Error] or a [Batch]. An empty one is the
// default of the call.
func From(position string) Start { return Start{kept: position} }

// AtTime is the first record made at or after a time.
func AtTime(when time.Time) Start {
	kind := pb.IteratorType_ITERATOR_TYPE_AT_TIMESTAMP
	return Start{position: &pb.Position{IteratorType: kind, Time: timestamppb.New(when)}}
}

// AtSequenceNumber is the first record of a shard that has this number or a greater one.
func AtSequenceNumber(number string) Start {
	kind := pb.IteratorType_ITERATOR_TYPE_AT_SEQUENCE_NUMBER
	return Start{position: &pb.Position{IteratorType: kind, SequenceNumber: number}}
}

// AfterSequenceNumber is the first record of a shard that has a greater number.
func AfterSequenceNumber(number string) Start {
	kind := pb.IteratorType_ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER
	return Start{position: &pb.Position{IteratorType: kind, SequenceNumber: number}}
}

func (s Start) token() string { return progressAt(s.kept).token }

// StreamOption changes how a stream is read.
type StreamOption func(*streamConfig)

type streamConfig struct {
	start      Start
	store      TokenStore
	gaps       pb.GapPolicy
	unreadable pb.UnreadablePolicy
	heartbeats bool
	interval   time.Duration
	request    pb.SubscribeRequest
}

// StartAt says where to start when the store is empty; [TrimHorizon] unless given, and of From("").
func StartAt(start Start) StreamOption {
	return func(c *streamConfig) { c.start = cmp.Or(start, c.start) }
}

// WithStore keeps the position, each time the loop comes back for more. Delivery is at least once: after a crash what your
// code was not done with comes again.
func WithStore(store TokenStore) StreamOption { return func(c *streamConfig) { c.store = store } }

// ContinueOnGap gives a [*Gap] as an event and goes on, instead of ending with [ErrRecordsTrimmed].
func ContinueOnGap() StreamOption {
	return func(c *streamConfig) { c.gaps = pb.GapPolicy_GAP_POLICY_CONTINUE }
}

// ContinueOnUnreadable gives an [*Unreadable] as an event and goes on, instead of ending with [ErrRecordUnreadable].
func ContinueOnUnreadable() StreamOption {
	return func(c *streamConfig) { c.unreadable = pb.UnreadablePolicy_UNREADABLE_POLICY_SKIP }
}

// WithHeartbeats gives a [*Heartbeat] as an event.
func WithHeartbeats() StreamOption { return func(c *streamConfig) { c.heartbeats = true } }

// WithHeartbeatInterval is how often an idle server shows that it lives; 10 s unless given. Three of them without a message
// count as a broken connection.
func WithHeartbeatInterval(interval time.Duration) StreamOption {
	return func(c *streamConfig) { c.interval = interval }
}

// WithUntil ends the stream at a limit.
func WithUntil(until *pb.Until) StreamOption {
	return func(c *streamConfig) { c.request.Until = proto.CloneOf(until) }
}

// WithBatchLimits bounds messages by their records and bytes; 0 leaves a limit to the server.
func WithBatchLimits(records, bytes int32) StreamOption {
	return func(c *streamConfig) { c.request.MaxBatchRecords, c.request.MaxBatchBytes = records, bytes }
}

// ByTime orders the records of all shards by their time, as well as they come within `wait`. For Subscribe alone.
func ByTime(wait time.Duration) StreamOption {
	return func(c *streamConfig) {
		c.request.Order, c.request.MergeWait = pb.RecordOrder_RECORD_ORDER_BY_TIME, durationpb.New(wait)
	}
}

// WithCheckpointInterval is how often a token that covers everything comes at least. For Subscribe alone.
func WithCheckpointInterval(interval time.Duration) StreamOption {
	return func(c *streamConfig) { c.request.CheckpointInterval = durationpb.New(interval) }
}

// Subscribe gives every record of a stream, by its table's name or its ARN, and goes on by itself when the connection breaks.
// Leaving the loop closes the stream at once, and so does the context, whose error is then the last thing that comes. After
// an error nothing comes; a stream that has an end ends the loop without one. Each loop over what is returned starts anew.
func (c *Client) Subscribe(ctx context.Context, stream string, options ...StreamOption) iter.Seq2[*Message, error] {
	return c.follow(ctx, source{subscribes: true, stream: stream}, options)
}

// StreamShard gives the records of one shard, as [Client.Subscribe] does those of a stream. A token to start from names its
// shard; both names may be empty then.
func (c *Client) StreamShard(ctx context.Context, stream, shardID string, options ...StreamOption) iter.Seq2[*Message, error] {
	return c.follow(ctx, source{shard: shardName(stream, shardID)}, options)
}

// Where records come from: a stream, a shard, or a session's lease.
type source struct {
	subscribes bool
	stream     string
	shard      *pb.ShardName
	lease      string
}

func (c *Client) follow(ctx context.Context, from source, options []StreamOption) iter.Seq2[*Message, error] {
	config := streamConfig{
		gaps: pb.GapPolicy_GAP_POLICY_FAIL, unreadable: pb.UnreadablePolicy_UNREADABLE_POLICY_FAIL,
		interval: 10 * time.Second,
	}
	if from.lease == "" {
		config.start = TrimHorizon
	}
	for _, option := range options {
		option(&config)
	}
	return func(yield func(*Message, error) bool) {
		f := &following{client: c, source: from, config: &config, start: config.start}
		f.progress = progressAt(config.start.kept)
		f.backoff = newBackoff(c.timing, c.timing.Patience)
		if err := f.run(ctx, yield); err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// The program left the loop.
var errLeft = errors.New("left")

// One stream across all its connections.
type following struct {
	client   *Client
	source   source
	config   *streamConfig
	start    Start
	progress *progress
	backoff  *backoff
	kept     string
	count    int64
	// The credentials were dropped since the last message; and in this moment, so that there is no need to wait.
	renewed, renews bool

	// Of the present connection.
	losses []Event
	end    *pb.End
	newest string
	served bool
}

func (f *following) run(ctx context.Context, yield func(*Message, error) bool) error {
	if f.config.store != nil {
		kept, err := f.config.store.Load(ctx)
		if err != nil {
			return err
		}
		if f.kept = kept; kept != "" {
			f.progress = progressAt(kept)
		}
	}
	for ctx.Err() == nil {
		if limit := f.config.request.GetUntil().GetRecordCount(); limit > 0 && f.count >= limit {
			return nil // The end was lost on its way. Asking for none would be asking for all.
		}
		err := f.connect(ctx, yield)
		failed, isOfCall := err.(*Error)
		if !isOfCall {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if f.renews {
			continue
		}
		pause, err := f.again(failed)
		if err != nil {
			return err
		}
		f.client.tell(failed, pause)
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Reads one connection to its end. Nil at the end of the stream; an *Error is the call's.
func (f *following) connect(ctx context.Context, yield func(*Message, error) bool) error {
	f.progress.resume()
	f.losses, f.end, f.newest, f.served = nil, nil, "", false
	f.backoff.opened = time.Now()
	channel, err := f.client.acquire(true)
	if err != nil {
		return err
	}
	defer f.client.release(channel, true)
	headed, bearer, err := f.client.headed(ctx)
	if err != nil {
		return err
	}
	headed, cancel := context.WithCancelCause(headed)
	defer cancel(nil)
	silence := 3 * max(f.config.interval, f.client.timing.LeastHeartbeat)
	// Runs while a message is waited for, and not while the program works.
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer timer.Stop()
	fail := func(err error) error {
		failed := errorOf(err, f.end)
		if context.Cause(headed) == errSilent {
			failed = silenceError(silence)
		}
		f.renews = failed.Code == codes.Unauthenticated && !f.renewed && f.client.bearer.refused(bearer)
		f.renewed = f.renewed || f.renews
		f.client.retire(channel, failed)
		return failed
	}
	stream, err := f.open(headed, channel.conn)
	if err != nil {
		return fail(err)
	}
	for {
		records, raw, err := stream.receive()
		timer.Stop()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			failed := fail(err)
			f.anchor(stream)
			return failed
		}
		f.renewed = false
		if message := f.take(records, raw); message != nil && !yield(message, nil) {
			return errLeft
		}
		// The program came back for more: it is done with what it had.
		f.progress.cover(raw)
		if err := f.save(ctx); err != nil {
			return err
		}
		timer.Reset(silence)
	}
}

var errSilent = errors.New("silent")

// A stream of either kind.
type stream struct {
	receive func() ([]Record, response, error)
	header  func() (metadata.MD, error)
}

func openStream[A any, P interface {
	*A
	response
}](ctx context.Context, conn *grpc.ClientConn, method string, request proto.Message) (stream, error) {
	from, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, withCodec)
	if err == nil {
		err = from.SendMsg(request)
	}
	if err == nil {
		err = from.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the call is over, and what is received tells why.
		return stream{}, err
	}
	receive := func() ([]Record, response, error) {
		split := &answer{rest: P(new(A))}
		err := from.RecvMsg(split)
		return split.records, split.rest.(P), err
	}
	return stream{receive, from.Header}, nil
}

// Calls with the request that goes on from here.
func (f *following) open(ctx context.Context, conn *grpc.ClientConn) (stream, error) {
	asked := &f.config.request
	until := proto.CloneOf(asked.Until)
	if until.GetRecordCount() > 0 {
		until.RecordCount -= f.count
	}
	interval, token := durationpb.New(f.config.interval), f.progress.token
	if f.source.subscribes {
		request := proto.CloneOf(asked)
		request.Stream, request.Until, request.HeartbeatInterval = f.source.stream, until, interval
		request.GapPolicy, request.UnreadablePolicy = f.config.gaps, f.config.unreadable
		if token != "" {
			request.Start = &pb.SubscribeRequest_Token{Token: token}
			request.ShardTokens = f.progress.tokens()
		} else if f.start.position != nil {
			request.Start = &pb.SubscribeRequest_Position{Position: f.start.position}
		}
		return openStream[pb.SubscribeResponse](ctx, conn, pb.StreamService_Subscribe_FullMethodName, request)
	}
	request := &pb.StreamRecordsRequest{
		Until: until, HeartbeatInterval: interval, MaxBatchRecords: asked.MaxBatchRecords,
		MaxBatchBytes: asked.MaxBatchBytes, GapPolicy: f.config.gaps, UnreadablePolicy: f.config.unreadable,
	}
	if f.source.lease != "" {
		request.Source, request.Token = &pb.StreamRecordsRequest_LeaseId{LeaseId: f.source.lease}, token
	} else {
		start := shardStart(f.source.shard, Start{f.start.position, token})
		request.Source = &pb.StreamRecordsRequest_Start{Start: start}
	}
	return openStream[pb.StreamRecordsResponse](ctx, conn, pb.ShardService_StreamRecords_FullMethodName, request)
}

// The message for the program; nil when there is nothing in it for a program.
func (f *following) take(records []Record, raw response) *Message {
	heartbeat := raw.GetHeartbeat()
	f.backoff.heard(len(records) > 0 || heartbeat != nil && heartbeat.UpstreamError == "")
	if raw.GetToken() != "" {
		f.newest = raw.GetToken()
	}
	if raw.GetEnd() != nil {
		f.end = raw.GetEnd()
	} else {
		f.served = true
	}
	event, isLoss := f.eventOf(raw)
	if isLoss {
		// Not covered, nor is what follows: whoever starts again is told of the loss again, until it is accepted.
		f.losses, f.progress.lossy = append(f.losses, event), true
		return nil
	}
	fresh := f.progress.give(raw, records)
	if len(fresh) == 0 && event == nil {
		return nil
	}
	f.count += int64(len(fresh))
	message := &Message{
		ShardID: raw.GetShardId(), Records: f.client.named(fresh, raw.GetShardId()), Event: event, Token: raw.GetToken(),
		progress: f.progress, raw: raw,
	}
	if f.client.hooks.Message != nil {
		f.client.hooks.Message(message)
	}
	return message
}

// What happened, for the program, and whether it is a loss that must end the stream.
func (f *following) eventOf(raw response) (Event, bool) {
	if gap := raw.GetGap(); gap != nil {
		return gapOf(gap), f.config.gaps == pb.GapPolicy_GAP_POLICY_FAIL
	}
	if one := raw.GetUnreadable(); one != nil {
		return unreadableOf(one), f.config.unreadable == pb.UnreadablePolicy_UNREADABLE_POLICY_FAIL
	}
	if raw.GetHeartbeat() != nil && f.config.heartbeats {
		return raw.GetHeartbeat(), false
	}
	if raw.GetShardEnd() != nil {
		return raw.GetShardEnd(), false
	}
	if raw, ok := raw.(*pb.SubscribeResponse); ok && raw.GetShardOpen() != nil {
		return raw.GetShardOpen(), false
	} else if ok && raw.GetStreamEnd() != nil {
		return raw.GetStreamEnd(), false
	}
	return nil, false
}

// How long to wait before going on; the error, with the token that goes on, if that must not be.
func (f *following) again(failed *Error) (time.Duration, error) {
	failed.Losses = f.losses
	if failed.Token == "" && len(f.losses) > 0 {
		// The token of the last message stands behind the loss; what is covered stands before it.
		failed.Token = f.newest
	} else if failed.Token == "" {
		failed.Token = f.progress.position()
	}
	pause, ok := f.backoff.pause(failed)
	if !ok {
		return 0, failed
	}
	if f.served && f.end.GetReason() == pb.EndReason_END_REASON_MAX_AGE {
		return failed.RetryDelay, nil
	}
	return pause, nil
}

// LATEST was found when the stream was opened. If it breaks before its first token the next one starts then.
func (f *following) anchor(broken stream) {
	if f.progress.token != "" || f.start.position.GetIteratorType() != pb.IteratorType_ITERATOR_TYPE_LATEST {
		return
	}
	header, _ := broken.header()
	for _, text := range header.Get("date") {
		if opened, err := http.ParseTime(text); err == nil {
			f.start = AtTime(opened.Add(-3 * time.Second))
		}
	}
}

// Keeps the position. The program is done with it even if its context is over by now.
func (f *following) save(ctx context.Context) error {
	if f.config.store == nil {
		return nil
	}
	position := f.progress.position()
	if position == f.kept {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	f.kept = position
	return f.config.store.Save(ctx, position)
}
