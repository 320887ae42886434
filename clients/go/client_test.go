package shardstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "shardstream/v1"
)

// What the conformance suite does not show. A server whose Subscribe is the function.
type server struct {
	pb.UnimplementedStreamServiceServer
	subscribe func(*pb.SubscribeRequest, grpc.ServerStreamingServer[pb.SubscribeResponse]) error
}

func (s *server) Subscribe(r *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
	return s.subscribe(r, to)
}

func serve(
	t *testing.T, subscribe func(*pb.SubscribeRequest, grpc.ServerStreamingServer[pb.SubscribeResponse]) error,
	options ...Option,
) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpcServer := grpc.NewServer()
	pb.RegisterStreamServiceServer(grpcServer, &server{subscribe: subscribe})
	go func() { _ = grpcServer.Serve(listener) }()
	t.Cleanup(grpcServer.Stop)
	client, err := NewClient(listener.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func recordsOf(shard, token, shardToken string, numbers ...int) *pb.SubscribeResponse {
	message := &pb.SubscribeResponse{ShardId: shard, Token: token, ShardToken: shardToken}
	for _, number := range numbers {
		meta := &pb.Meta{SequenceNumber: fmt.Sprint(number)}
		message.Records = append(message.Records, &pb.ChangeRecord{Meta: meta})
	}
	return message
}

func TestPositionsGoOnBehindTheirMessage(t *testing.T) {
	client := serve(t, func(_ *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		for _, message := range []*pb.SubscribeResponse{
			recordsOf("a", "", "a1", 1), recordsOf("a", "t1", "a2", 2), recordsOf("b", "", "b1", 1),
			recordsOf("a", "", "a3", 3), recordsOf("b", "", "b2", 2), recordsOf("a", "t2", "a4", 4),
		} {
			if err := to.Send(message); err != nil {
				return err
			}
		}
		return nil
	})
	var store MemoryStore
	var positions, kept []string
	for message, err := range client.Subscribe(t.Context(), "orders", WithStore(&store)) {
		if err != nil {
			t.Fatal(err)
		}
		before, _ := store.Load(t.Context())
		positions, kept = append(positions, message.Position()), append(kept, before)
	}
	if want := []string{"", "t1", "t1 b1", "t1 b1 a3", "t1 b2 a3", "t2"}; !reflect.DeepEqual(positions, want) {
		t.Errorf("positions: %q", positions)
	}
	// The store is one message behind, always.
	if want := []string{"", "", "t1", "t1 b1", "t1 b1 a3", "t1 b2 a3"}; !reflect.DeepEqual(kept, want) {
		t.Errorf("kept: %q", kept)
	}
}

func TestARefusedTokenIsFetchedOnceForAllStreams(t *testing.T) {
	const streams = 50
	var fetched atomic.Int32
	var all sync.WaitGroup
	all.Add(streams)
	client := serve(t, func(_ *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		headers, _ := metadata.FromIncomingContext(to.Context())
		if headers.Get("authorization")[0] == "Bearer 1" {
			all.Done()
			all.Wait() // Every stream is open with the first token before it is refused.
			return status.Error(codes.Unauthenticated, "expired")
		}
		return to.Send(recordsOf("a", "t1", "", 1))
	}, WithTokenSource(func(context.Context) (string, error) { return fmt.Sprint(fetched.Add(1)), nil }))
	var done sync.WaitGroup
	for range streams {
		done.Go(func() {
			for _, err := range client.Subscribe(t.Context(), "orders") {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	if fetched.Load() != 2 {
		t.Errorf("fetched %d times", fetched.Load())
	}
}

func TestLeavingTheLoopEndsTheCallAndFreesItsPlace(t *testing.T) {
	ended := make(chan struct{})
	client := serve(t, func(_ *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		defer close(ended)
		if err := to.Send(recordsOf("a", "t1", "", 1)); err != nil {
			return err
		}
		<-to.Context().Done()
		return to.Context().Err()
	})
	for _, err := range client.Subscribe(t.Context(), "orders") {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the server sees no end")
	}
	if channel := client.channels[0]; channel.users != 0 || channel.streams != 0 {
		t.Errorf("still used: %+v", channel)
	}
}

func TestASilentConnectionIsClosedByItsLastUser(t *testing.T) {
	client := serve(t, nil)
	one, err := client.acquire(true)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := client.acquire(true)
	client.retire(one, silenceError(time.Second))
	if fresh, _ := client.acquire(true); other != one || fresh == one {
		t.Error("a silent connection is used again")
	}
	client.release(one, true)
	if state := one.conn.GetState().String(); state == "SHUTDOWN" {
		t.Error("closed under another stream")
	}
	client.release(one, true)
	if state := one.conn.GetState().String(); state != "SHUTDOWN" {
		t.Errorf("left open: %s", state)
	}
}

func TestTheContextsErrorComesLast(t *testing.T) {
	client := serve(t, func(_ *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		<-to.Context().Done()
		return to.Context().Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var errs []error
	for _, err := range client.Subscribe(ctx, "orders") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], context.DeadlineExceeded) {
		t.Errorf("got %v", errs)
	}
}

type broken struct{ MemoryStore }

var errBroken = errors.New("broken")

func (*broken) Save(context.Context, string) error { return errBroken }

func TestAnEmptyPositionIsTheDefault(t *testing.T) {
	client := serve(t, func(asked *pb.SubscribeRequest, _ grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		if asked.GetPosition().GetIteratorType() != pb.IteratorType_ITERATOR_TYPE_TRIM_HORIZON {
			t.Errorf("asked for %v", asked)
		}
		return nil
	})
	for _, err := range client.Subscribe(t.Context(), "orders", StartAt(From(""))) {
		t.Error(err)
	}
}

func TestAStoreThatFailsEndsTheLoop(t *testing.T) {
	client := serve(t, func(_ *pb.SubscribeRequest, to grpc.ServerStreamingServer[pb.SubscribeResponse]) error {
		return errors.Join(to.Send(recordsOf("a", "t1", "", 1)), to.Send(recordsOf("a", "t2", "", 2)))
	})
	var got []any
	for message, err := range client.Subscribe(t.Context(), "orders", WithStore(&broken{})) {
		if got = append(got, err); err == nil {
			got[len(got)-1] = message.Token
		}
	}
	if len(got) != 2 || got[0] != "t1" || got[1] != errBroken {
		t.Errorf("got %v", got)
	}
}

func TestACloseEndsCallsAndStreams(t *testing.T) {
	client := serve(t, nil)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ServerInfo(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a call: %v", err)
	}
	for _, err := range client.Subscribe(t.Context(), "orders") {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("a stream: %v", err)
		}
	}
}

func TestCredentialsTravelByTLSOrToThisMachine(t *testing.T) {
	for target, may := range map[string]bool{
		"localhost:1": true, "127.0.0.1:1": true, "[::1]:1": true, "unix:/socket": true, "dns:///localhost:1": true,
		"example.org:1": false, "127.0.0.1.example.org:1": false, "dns:///10.0.0.1:1": false,
	} {
		client, err := NewClient(target, WithToken("secret"))
		if (err == nil) != may {
			t.Errorf("%s: %v", target, err)
		}
		if err == nil {
			_ = client.Close()
		}
	}
	if _, err := NewClient("example.org:1", WithToken("secret"), WithTLS(nil)); err != nil {
		t.Error(err)
	}
}

func TestFileStoreReplacesItsFileWhole(t *testing.T) {
	folder := t.TempDir()
	for _, sync := range []bool{false, true} {
		store := &FileStore{Path: filepath.Join(folder, fmt.Sprint(sync)), Sync: sync}
		for _, position := range []string{"", "t1 a1", "t2"} {
			if position != "" {
				if err := store.Save(t.Context(), position); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := store.Load(t.Context()); got != position || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
	}
	// No drafts are left.
	if left, _ := os.ReadDir(folder); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func TestNumbersCompareAsIntegers(t *testing.T) {
	for _, pair := range [][2]string{{"9", "10"}, {"0099", "100"}, {"", "1"}, {"99999999999999999999", "100000000000000000000"}} {
		if compareNumbers(pair[0], pair[1]) >= 0 || compareNumbers(pair[1], pair[0]) <= 0 {
			t.Errorf("%v", pair)
		}
	}
	if compareNumbers("007", "7") != 0 {
		t.Error("zeros count")
	}
}

func TestGoValuesBecomeAttributes(t *testing.T) {
	great, _ := new(big.Int).SetString("12345678901234567890123456789012345678", 10)
	for value, text := range map[any]string{
		1: "1", int8(-2): "-2", uint64(math.MaxUint64): "18446744073709551615", 1.5: "1.5", great: great.String(), Number("1E3"): "1E3",
	} {
		made, err := Attribute(value)
		if err != nil || made.GetN() != text {
			t.Errorf("%v: %v, %v", value, made, err)
		}
	}
	for _, value := range []any{math.NaN(), math.Inf(1), struct{}{}, []any{make(chan int)}, map[string]any{"x": []int{1}}} {
		if _, err := Attribute(value); err == nil {
			t.Errorf("%v is no value", value)
		}
	}
	text := bytesOf(&pb.AttributeValue{Value: &pb.AttributeValue_N{N: "2.5"}})
	number := readValue(text, func(text string) any { return "made of " + text })
	if number != "made of 2.5" {
		t.Errorf("got %v", number)
	}
}

func TestChangedTellsNullFromAbsent(t *testing.T) {
	null, _ := Attribute(nil)
	one, _ := Attribute(1)
	record := Record{raw: bytesOf(&pb.ChangeRecord{
		OldImage: map[string]*pb.AttributeValue{"gone": null, "null": one, "same": one},
		NewImage: map[string]*pb.AttributeValue{"came": null, "null": null, "same": one},
	})}
	got, err := record.Changed()
	want := map[string]Change{"gone": {nil, Absent}, "came": {Absent, nil}, "null": {Number("1"), nil}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestErrorsAreOfTheirKindAndItsKind(t *testing.T) {
	lease := &Error{Kind: ErrLeaseNotFound}
	if !errors.Is(lease, ErrNotFound) || !errors.Is(lease, ErrLeaseNotFound) || errors.Is(lease, ErrInvalidRequest) {
		t.Error("a lease")
	}
	failed := errorOf(status.Error(codes.NotFound, "no such stream"), nil)
	if failed.Error() != "shardstream: NotFound: no such stream" || status.Code(failed) != codes.NotFound {
		t.Errorf("%v", failed)
	}
}
