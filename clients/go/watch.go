package shardstream

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	pb "shardstream/v1"
)

// One watch of a stream's shards across all its connections.
type watching struct {
	client  *Client
	stream  string
	backoff *backoff
	// What was told; and of the present connection, what was told before it and not yet again.
	known, before map[string]bool
	// The credentials were dropped since the last message; and in this moment, so that there is no need to wait.
	renewed, renews bool
}

func (w *watching) run(ctx context.Context, yield func(*pb.WatchShardsResponse, error) bool) error {
	for ctx.Err() == nil {
		err := w.connect(ctx, yield)
		failed, isOfCall := err.(*Error)
		if !isOfCall {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if w.renews {
			continue
		}
		pause, ok := w.backoff.pause(failed)
		if !ok {
			return failed
		}
		w.client.tell(failed, pause)
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Reads one connection to its end. Nil at the end of the stream; an *Error is the call's.
func (w *watching) connect(ctx context.Context, yield func(*pb.WatchShardsResponse, error) bool) error {
	w.begin()
	channel, err := w.client.acquire(true)
	if err != nil {
		return err
	}
	defer w.client.release(channel, true)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	headed, bearer, err := w.client.headed(ctx)
	if err != nil {
		return err
	}
	rows, err := pb.NewStreamServiceClient(channel.conn).WatchShards(headed, &pb.WatchShardsRequest{Stream: w.stream})
	for err == nil {
		var row *pb.WatchShardsResponse
		if row, err = rows.Recv(); err != nil {
			break
		}
		w.take(row)
		if !yield(row, nil) {
			return errLeft
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	failed := errorOf(err, nil)
	w.renews = failed.Code == codes.Unauthenticated && !w.renewed && w.client.bearer.refused(bearer)
	w.renewed = w.renewed || w.renews
	return failed
}

// A connection is opened: it tells of all shards again, and not of those that went away meanwhile.
func (w *watching) begin() {
	w.backoff.opened = time.Now()
	if w.before == nil {
		w.before = map[string]bool{}
	}
	for id := range w.known {
		w.before[id] = true
	}
	w.known = map[string]bool{}
}

// A message. The last one of the first round has what went away among the removed.
func (w *watching) take(row *pb.WatchShardsResponse) {
	w.backoff.heard(true)
	w.renewed = false
	for _, shard := range row.Shards {
		id := shard.GetShard().GetShardId()
		w.known[id] = true
		delete(w.before, id)
	}
	for _, id := range row.RemovedShardIds {
		delete(w.known, id)
		delete(w.before, id)
	}
	if row.Complete {
		for id := range w.before {
			row.RemovedShardIds = append(row.RemovedShardIds, id)
		}
		if len(w.before) > 0 {
			slices.Sort(row.RemovedShardIds)
		}
		clear(w.before)
	}
}
