package shardstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "shardstream/v1"
)

const (
	usual    = time.Minute
	longSeek = 5 * time.Minute
)

// Nil where a token names the shard.
func shardName(stream, shardID string) *pb.ShardName {
	if shardID == "" {
		return nil
	}
	return &pb.ShardName{Stream: stream, ShardId: shardID}
}

func shardStart(shard *pb.ShardName, start Start) *pb.ShardStart {
	if token := start.token(); token != "" {
		return &pb.ShardStart{Shard: shard, Start: &pb.ShardStart_Token{Token: token}}
	}
	return &pb.ShardStart{Shard: shard, Start: &pb.ShardStart_Position{Position: start.position}}
}

// ServerInfo is the server's version, upstream, limits and defaults.
func (c *Client) ServerInfo(ctx context.Context) (*pb.GetServerInfoResponse, error) {
	return call(ctx, c, usual, pb.NewServerServiceClient, pb.ServerServiceClient.GetServerInfo, &pb.GetServerInfoRequest{})
}

// ListStreams has the streams of one table, or all.
func (c *Client) ListStreams(ctx context.Context, tableName string) ([]*pb.StreamSummary, error) {
	request := &pb.ListStreamsRequest{TableName: tableName}
	var streams []*pb.StreamSummary
	for {
		page, err := call(ctx, c, usual, pb.NewStreamServiceClient, pb.StreamServiceClient.ListStreams, request)
		if err != nil {
			return nil, err
		}
		streams = append(streams, page.Streams...)
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			return streams, nil
		}
	}
}

// DescribeStream says what a stream is.
func (c *Client) DescribeStream(ctx context.Context, stream string) (*pb.StreamDescription, error) {
	request := &pb.DescribeStreamRequest{Stream: stream}
	answer, err := call(ctx, c, usual, pb.NewStreamServiceClient, pb.StreamServiceClient.DescribeStream, request)
	return answer.GetDescription(), err
}

// ListShards has all shards of a stream.
func (c *Client) ListShards(ctx context.Context, stream string) ([]*pb.Shard, error) {
	request := &pb.ListShardsRequest{Stream: stream}
	var shards []*pb.Shard
	for {
		page, err := call(ctx, c, usual, pb.NewStreamServiceClient, pb.StreamServiceClient.ListShards, request)
		if err != nil {
			return nil, err
		}
		shards = append(shards, page.Shards...)
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			return shards, nil
		}
	}
}

// ListChildren has a shard's children, and whether there can be more.
func (c *Client) ListChildren(ctx context.Context, stream, shardID string) (*pb.ListChildrenResponse, error) {
	request := &pb.ListChildrenRequest{Target: &pb.ListChildrenRequest_Shard{Shard: shardName(stream, shardID)}}
	return call(ctx, c, usual, pb.NewShardServiceClient, pb.ShardServiceClient.ListChildren, request)
}

// WalkTree gives a shard and its descendants, each with its depth, when it has all of them.
func (c *Client) WalkTree(ctx context.Context, stream, shardID string) iter.Seq2[*pb.WalkTreeResponse, error] {
	request := &pb.WalkTreeRequest{Target: &pb.WalkTreeRequest_Shard{Shard: shardName(stream, shardID)}}
	walk := func(
		service pb.ShardServiceClient, ctx context.Context, request *pb.WalkTreeRequest, _ ...grpc.CallOption,
	) ([]*pb.WalkTreeResponse, error) {
		var rows []*pb.WalkTreeResponse
		answer, err := service.WalkTree(ctx, request)
		for err == nil {
			var row *pb.WalkTreeResponse
			if row, err = answer.Recv(); err == nil {
				rows = append(rows, row)
			}
		}
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		return nil, err
	}
	return func(yield func(*pb.WalkTreeResponse, error) bool) {
		rows, err := call(ctx, c, usual, pb.NewShardServiceClient, walk, request)
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// WatchShards gives how far the server has read each shard: all of them first, then each change. It goes on by itself when the
// connection breaks: then all come again, and those that are gone by then are among the removed.
func (c *Client) WatchShards(ctx context.Context, stream string) iter.Seq2[*pb.WatchShardsResponse, error] {
	return func(yield func(*pb.WatchShardsResponse, error) bool) {
		w := &watching{client: c, stream: stream, backoff: newBackoff(c.timing, c.timing.Patience)}
		if err := w.run(ctx, yield); err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// One call whose answer has records.
func callForRecords[A any, P interface {
	*A
	proto.Message
}](ctx context.Context, c *Client, limit time.Duration, method string, request proto.Message) ([]Record, P, error) {
	conn := func(conn grpc.ClientConnInterface) grpc.ClientConnInterface { return conn }
	invoke := func(
		conn grpc.ClientConnInterface, ctx context.Context, request proto.Message, _ ...grpc.CallOption,
	) (*answer, error) {
		split := &answer{rest: P(new(A))}
		return split, conn.Invoke(ctx, method, request, split, withCodec)
	}
	split, err := call(ctx, c, limit, conn, invoke, request)
	if err != nil {
		return nil, nil, err
	}
	return split.records, split.rest.(P), nil
}

// ReadOption changes a read. Any function that sets fields of the request will do.
type ReadOption func(*pb.GetRecordsRequest)

// Wait lets the server wait so long for records.
func Wait(limit time.Duration) ReadOption {
	return func(r *pb.GetRecordsRequest) { r.Wait = durationpb.New(limit) }
}

// SkipUnreadable has records that cannot be read in Batch.Unreadable, instead of failing with [ErrRecordUnreadable].
func SkipUnreadable() ReadOption {
	return func(r *pb.GetRecordsRequest) { r.UnreadablePolicy = pb.UnreadablePolicy_UNREADABLE_POLICY_SKIP }
}

// MaxRecords bounds the answer.
func MaxRecords(most int32) ReadOption { return func(r *pb.GetRecordsRequest) { r.MaxRecords = most } }

// GetRecords is one read of a shard without a session; From(batch.Token) reads on, and then both names may be empty.
func (c *Client) GetRecords(ctx context.Context, stream, shardID string, start Start, options ...ReadOption) (*Batch, error) {
	if start == (Start{}) {
		start = TrimHorizon
	}
	from := &pb.GetRecordsRequest_Start{Start: shardStart(shardName(stream, shardID), start)}
	return c.read(ctx, &pb.GetRecordsRequest{Source: from}, shardID, options)
}

func (c *Client) read(
	ctx context.Context, request *pb.GetRecordsRequest, shardID string, options []ReadOption,
) (*Batch, error) {
	request.UnreadablePolicy = pb.UnreadablePolicy_UNREADABLE_POLICY_FAIL
	for _, option := range options {
		option(request)
	}
	limit := request.GetWait().AsDuration() + usual
	records, answer, err := callForRecords[pb.GetRecordsResponse](ctx, c, limit, pb.ShardService_GetRecords_FullMethodName, request)
	if err != nil {
		return nil, err
	}
	c.named(records, cmp.Or(answer.GetSession().GetShardId(), shardID))
	batch := &Batch{Records: records, Token: answer.Token, Exhausted: answer.Exhausted, AtTip: answer.AtTip}
	for _, raw := range answer.Unreadable {
		batch.Unreadable = append(batch.Unreadable, unreadableOf(raw))
	}
	return batch, nil
}

// Session is a cursor on one shard that the server keeps under a lease, renewed by every call. Not for concurrent use.
type Session struct {
	// State is where the session stood at the last call.
	State *pb.ShardSession

	client *Client
	lease  string
}

// OpenShard opens a session. Of a zero start it has no position yet.
func (c *Client) OpenShard(ctx context.Context, stream, shardID string, start Start) (*Session, error) {
	request := &pb.OpenShardRequest{Shard: shardName(stream, shardID)}
	if token := start.token(); token != "" {
		request.Start = &pb.OpenShardRequest_Token{Token: token}
	} else if start.position != nil {
		request.Start = &pb.OpenShardRequest_Position{Position: start.position}
	}
	answer, err := call(ctx, c, usual, pb.NewShardServiceClient, pb.ShardServiceClient.OpenShard, request)
	if err != nil {
		return nil, err
	}
	return &Session{answer.GetSession(), c, answer.GetSession().GetLease().GetLeaseId()}, nil
}

// Read gives the next records. If the answer is lost on its way the same records come again, none is skipped.
func (s *Session) Read(ctx context.Context, options ...ReadOption) (*Batch, error) {
	request := &pb.GetRecordsRequest{Source: &pb.GetRecordsRequest_LeaseId{LeaseId: s.lease}, RequestId: rand.Text()}
	return s.client.read(ctx, request, s.State.GetShardId(), options)
}

// Jump moves to a position.
func (s *Session) Jump(ctx context.Context, start Start) error {
	request := &pb.JumpToRequest{LeaseId: s.lease}
	if token := start.token(); token != "" {
		request.Start = &pb.JumpToRequest_Token{Token: token}
	} else {
		request.Start = &pb.JumpToRequest_Position{Position: start.position}
	}
	answer, err := call(ctx, s.client, usual, pb.NewShardServiceClient, pb.ShardServiceClient.JumpTo, request)
	if err == nil {
		s.State = answer.GetSession()
	}
	return err
}

// Seek gives the first records made at or after a time; the session stands behind them.
func (s *Session) Seek(ctx context.Context, when time.Time) (*Batch, error) {
	request := &pb.SeekToRequest{Target: &pb.SeekToRequest_LeaseId{LeaseId: s.lease}, Time: timestamppb.New(when)}
	method := pb.ShardService_SeekTo_FullMethodName
	records, answer, err := callForRecords[pb.SeekToResponse](ctx, s.client, longSeek, method, request)
	if err != nil {
		return nil, err
	}
	s.State = answer.GetSession()
	return &Batch{
		Records: s.client.named(records, s.State.GetShardId()), Token: answer.Token,
		Exhausted: answer.Outcome == pb.SeekOutcome_SEEK_OUTCOME_SHARD_ENDED,
		AtTip:     answer.Outcome == pb.SeekOutcome_SEEK_OUTCOME_AT_TIP,
	}, nil
}

// Stream gives the records from where the session stands, as they arrive.
func (s *Session) Stream(ctx context.Context, options ...StreamOption) iter.Seq2[*Message, error] {
	return s.client.follow(ctx, source{lease: s.lease}, options)
}

// Refresh asks where the session stands.
func (s *Session) Refresh(ctx context.Context) error {
	request := &pb.GetShardSessionRequest{LeaseId: s.lease}
	answer, err := call(ctx, s.client, usual, pb.NewShardServiceClient, pb.ShardServiceClient.GetShardSession, request)
	if err == nil {
		s.State = answer.GetSession()
	}
	return err
}

// Renew renews the lease and does nothing else.
func (s *Session) Renew(ctx context.Context) error {
	request := &pb.RenewLeaseRequest{LeaseId: s.lease}
	_, err := call(ctx, s.client, usual, pb.NewShardServiceClient, pb.ShardServiceClient.RenewLease, request)
	return err
}

// Close ends the session.
func (s *Session) Close(ctx context.Context) error {
	request := &pb.CloseShardRequest{LeaseId: s.lease}
	_, err := call(ctx, s.client, usual, pb.NewShardServiceClient, pb.ShardServiceClient.CloseShard, request)
	return err
}
