// Plays the user of the Go client for the conformance suite; clients/conformance/README.md says how.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"shardstream"
	pb "shardstream/v1"
)

type action struct {
	Target, Call, Stream, Shard, Table string
	Start                              start
	OnGap                              string          `json:"on_gap"`
	OnUnreadable                       string          `json:"on_unreadable"`
	HeartbeatInterval                  seconds         `json:"heartbeat_interval"`
	Heartbeats                         bool            `json:"heartbeats"`
	Options                            json.RawMessage `json:"options"`
	Timing                             struct {
		FirstPause     seconds `json:"first_pause"`
		LongestPause   seconds `json:"longest_pause"`
		Patience       seconds `json:"patience"`
		LeastHeartbeat seconds `json:"least_heartbeat"`
	}
	Store       *string
	Take        int
	Slow        seconds
	CancelAfter seconds `json:"cancel_after"`
	Accept      bool
	TLS         *struct{ CA, Certificate, Key string }
	Credentials json.RawMessage
	Traceparent string
	Resumes     bool
	Streams     int
	Beside      bool
	Steps       []json.RawMessage
}

type seconds float64

func (s seconds) duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// A start as actions write it.
type start struct{ shardstream.Start }

func (s *start) UnmarshalJSON(text []byte) error {
	var name string
	if json.Unmarshal(text, &name) == nil {
		s.Start = map[string]shardstream.Start{"TRIM_HORIZON": shardstream.TrimHorizon, "LATEST": shardstream.Latest}[name]
		return nil
	}
	var said struct {
		Time             time.Time
		At, After, Token string
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return err
	}
	switch {
	case said.At != "":
		s.Start = shardstream.AtSequenceNumber(said.At)
	case said.After != "":
		s.Start = shardstream.AfterSequenceNumber(said.After)
	case said.Token != "":
		s.Start = shardstream.From(said.Token)
	default:
		s.Start = shardstream.AtTime(said.Time)
	}
	return nil
}

type object = map[string]any

// One line of what the user got.
func say(name string, value any) {
	line, err := json.Marshal(object{name: value})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// An attribute in DynamoDB's JSON.
func typed(raw *pb.AttributeValue) any {
	switch value := raw.Value.(type) {
	case *pb.AttributeValue_S:
		return object{"S": value.S}
	case *pb.AttributeValue_N:
		return object{"N": value.N}
	case *pb.AttributeValue_B:
		return object{"B": value.B}
	case *pb.AttributeValue_BoolValue:
		return object{"BOOL": value.BoolValue}
	case *pb.AttributeValue_NullValue:
		return object{"NULL": value.NullValue}
	case *pb.AttributeValue_Ss:
		return object{"SS": sorted(value.Ss.Values)}
	case *pb.AttributeValue_Ns:
		return object{"NS": sorted(value.Ns.Values)}
	case *pb.AttributeValue_Bs:
		texts := []string{}
		for _, bytes := range value.Bs.Values {
			texts = append(texts, base64.StdEncoding.EncodeToString(bytes))
		}
		return object{"BS": sorted(texts)}
	case *pb.AttributeValue_M:
		return object{"M": typedMap(value.M.Entries)}
	case *pb.AttributeValue_L:
		list := []any{}
		for _, inner := range value.L.Values {
			list = append(list, typed(inner))
		}
		return object{"L": list}
	}
	bytes, err := proto.Marshal(raw)
	if err != nil {
		panic(err)
	}
	return object{"unknown": bytes}
}

func typedMap(raw map[string]*pb.AttributeValue) object {
	made := object{}
	for name, value := range raw {
		made[name] = typed(value)
	}
	return made
}

func sorted(texts []string) []string {
	return append([]string{}, slices.Sorted(slices.Values(texts))...)
}

// Native values in DynamoDB's JSON: there and back, to show that nothing is lost.
func image(native map[string]any) any {
	if native == nil {
		return nil
	}
	raw, err := shardstream.Attributes(native)
	if err != nil {
		panic(err)
	}
	return typedMap(raw)
}

func tellRecord(record shardstream.Record) {
	line := object{
		"shard": record.ShardID, "sequence": record.SequenceNumber(), "type": record.Type(), "id": record.ID(),
		"key": image(record.Key()), "new": image(record.NewImage()), "old": image(record.OldImage()), "changed": nil,
	}
	if changed, err := record.Changed(); err == nil {
		line["changed"] = sorted(slices.Collect(maps.Keys(changed)))
	}
	say("record", line)
}

func loss(event shardstream.Event) (string, object) {
	switch event := event.(type) {
	case *shardstream.Gap:
		return "gap", object{
			"shard": event.ShardID, "cause": event.Cause, "certain": event.Certain,
			"after": event.AfterSequenceNumber, "before": event.BeforeSequenceNumber,
		}
	case *shardstream.Unreadable:
		return "unreadable", object{
			"shard": event.ShardID, "sequence": event.SequenceNumber, "cause": event.Cause, "after": event.AfterSequenceNumber,
		}
	}
	panic(fmt.Sprintf("%T is no loss", event))
}

func tellEvent(event shardstream.Event) {
	switch event := event.(type) {
	case nil:
	case *shardstream.ShardOpen:
		say("shard_open", event.Shard.ShardId)
	case *shardstream.ShardEnd:
		line, _ := json.Marshal(object{"shard_end": event.ShardId, "children": ids(event.Children)})
		fmt.Println(string(line))
	case *shardstream.StreamEnd:
		line, _ := json.Marshal(object{"stream_end": event.StreamArn, "next": event.NextStreamArn})
		fmt.Println(string(line))
	case *shardstream.Heartbeat:
		say("heartbeat", object{"at_tip": event.AtTip, "upstream_error": event.UpstreamError})
	default:
		say(loss(event))
	}
}

func ids(shards []*pb.Shard) []string {
	found := []string{}
	for _, shard := range shards {
		found = append(found, shard.ShardId)
	}
	return found
}

// How gRPC spells a code: PERMISSION_DENIED.
func spelled(code codes.Code) string {
	for _, name := range []string{"INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "INTERNAL", "NOT_FOUND"} {
		var named codes.Code
		if named.UnmarshalJSON([]byte(`"`+name+`"`)) == nil && named == code {
			return name
		}
	}
	return strings.ToUpper(code.String())
}

func tellError(failed *shardstream.Error) {
	losses := []object{}
	for _, event := range failed.Losses {
		name, line := loss(event)
		losses = append(losses, object{name: line})
	}
	say("error", object{
		"kind": failed.Kind, "code": spelled(failed.Code), "reason": failed.Reason, "token": failed.Token,
		"losses": losses, "metadata": failed.Metadata, "retry_delay": failed.RetryDelay.Seconds(),
	})
}

// A store that tells what is saved.
type telling struct{ shardstream.MemoryStore }

func (t *telling) Save(ctx context.Context, position string) error {
	tokens := strings.Fields(position)
	line, _ := json.Marshal(object{"stored": tokens[0], "shard_tokens": tokens[1:]})
	fmt.Println(string(line))
	return t.MemoryStore.Save(ctx, position)
}

func (a *action) client() (*shardstream.Client, error) {
	timing := shardstream.Timing{
		FirstPause: a.Timing.FirstPause.duration(), LongestPause: a.Timing.LongestPause.duration(),
		Patience: a.Timing.Patience.duration(), LeastHeartbeat: a.Timing.LeastHeartbeat.duration(),
	}
	hooks := shardstream.Hooks{Traceparent: func(context.Context) string { return a.Traceparent }}
	if a.Resumes {
		hooks.Resume = func(failed *shardstream.Error, _ time.Duration) {
			say("resume", cmp.Or(failed.Reason, spelled(failed.Code)))
		}
	}
	options := []shardstream.Option{shardstream.WithTiming(timing), shardstream.WithHooks(hooks)}
	if a.TLS != nil {
		config, err := shardstream.LoadTLS(a.TLS.CA, a.TLS.Certificate, a.TLS.Key)
		if err != nil {
			return nil, err
		}
		options = append(options, shardstream.WithTLS(config))
	}
	if a.Credentials != nil {
		var one string
		var list []string
		if json.Unmarshal(a.Credentials, &one) == nil {
			options = append(options, shardstream.WithToken(one))
		} else if err := json.Unmarshal(a.Credentials, &list); err != nil {
			return nil, err
		} else {
			options = append(options, shardstream.WithTokenSource(func(context.Context) (string, error) {
				next := list[0]
				list = list[1:]
				return next, nil
			}))
		}
	}
	return shardstream.NewClient(a.Target, options...)
}

func (a *action) options() []shardstream.StreamOption {
	var options []shardstream.StreamOption
	if a.OnGap == "continue" {
		options = append(options, shardstream.ContinueOnGap())
	}
	if a.OnUnreadable == "continue" {
		options = append(options, shardstream.ContinueOnUnreadable())
	}
	if a.HeartbeatInterval > 0 {
		options = append(options, shardstream.WithHeartbeatInterval(a.HeartbeatInterval.duration()))
	}
	if a.Heartbeats {
		options = append(options, shardstream.WithHeartbeats())
	}
	if a.Options != nil {
		var request pb.SubscribeRequest
		if err := protojson.Unmarshal(a.Options, &request); err != nil {
			panic(err)
		}
		options = append(options, shardstream.WithUntil(request.Until))
	}
	if a.Store != nil {
		store := &telling{}
		if err := store.MemoryStore.Save(context.Background(), *a.Store); err != nil {
			panic(err)
		}
		options = append(options, shardstream.WithStore(store))
	}
	return options
}

func (a *action) open(ctx context.Context, client *shardstream.Client, at shardstream.Start) messages {
	options := a.options()
	if at != (shardstream.Start{}) {
		options = append(options, shardstream.StartAt(at))
	}
	if a.Call == "stream_shard" {
		return client.StreamShard(ctx, a.Stream, a.Shard, options...)
	}
	return client.Subscribe(ctx, a.Stream, options...)
}

type messages = iter.Seq2[*shardstream.Message, error]

// The loop.
func (a *action) follow(open func(context.Context) messages) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if a.CancelAfter > 0 {
		time.AfterFunc(a.CancelAfter.duration(), cancel)
	}
	begun, records := time.Now(), 0
	for message, err := range open(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		for _, record := range message.Records {
			tellRecord(record)
			if records++; records == a.Take {
				say("left", true)
				return nil
			}
		}
		tellEvent(message.Event)
		time.Sleep(a.Slow.duration())
	}
	say("ended", true)
	if a.CancelAfter > 0 && time.Since(begun) > a.CancelAfter.duration()+time.Second {
		say("late", true)
	}
	return nil
}

// Many streams at once, one message of each.
func (a *action) many(client *shardstream.Client) error {
	var got, leave sync.WaitGroup
	counts, failures, left := make(chan int, a.Streams), make(chan error, a.Streams), make(chan struct{})
	got.Add(a.Streams)
	for range a.Streams {
		leave.Go(func() {
			for message, err := range a.open(context.Background(), client, a.Start.Start) {
				if err != nil {
					failures <- err
				} else {
					counts <- len(message.Records)
				}
				got.Done()
				<-left
				break
			}
		})
	}
	got.Wait()
	sum := 0
	for range len(counts) {
		sum += <-counts
	}
	say("streams", sum)
	close(left)
	leave.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

func (a *action) play() error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case a.Call == "session":
		return a.session(client)
	case a.Call == "watch_shards":
		return a.watch(client)
	case a.Streams > 0:
		return a.many(client)
	case a.Call != "subscribe" && a.Call != "stream_shard":
		return a.unary(client)
	}
	at := a.Start.Start
	if a.Beside {
		got := make(chan error)
		go func() {
			for _, err := range a.open(context.Background(), client, at) {
				got <- err
				select {} // Neither reads on nor leaves.
			}
		}()
		if err := <-got; err != nil {
			return err
		}
	}
	for {
		err := a.follow(func(ctx context.Context) messages { return a.open(ctx, client, at) })
		var failed *shardstream.Error
		isLoss := errors.Is(err, shardstream.ErrRecordsTrimmed) || errors.Is(err, shardstream.ErrRecordUnreadable)
		if !a.Accept || !isLoss || !errors.As(err, &failed) {
			return err
		}
		tellError(failed)
		at = shardstream.From(failed.Token)
	}
}

func (a *action) unary(client *shardstream.Client) error {
	ctx := context.Background()
	switch a.Call {
	case "server_info":
		info, err := client.ServerInfo(ctx)
		if err != nil {
			return err
		}
		line, _ := json.Marshal(object{"version": info.Version, "features": append([]string{}, info.Features...)})
		fmt.Println(string(line))
	case "list_streams":
		streams, err := client.ListStreams(ctx, a.Table)
		for _, stream := range streams {
			say("row", stream.StreamArn)
		}
		return err
	case "list_shards":
		shards, err := client.ListShards(ctx, a.Stream)
		for _, id := range ids(shards) {
			say("row", id)
		}
		return err
	case "describe_stream":
		found, err := client.DescribeStream(ctx, a.Stream)
		if err != nil {
			return err
		}
		line, _ := json.Marshal(object{"description": found.StreamArn, "status": found.Status})
		fmt.Println(string(line))
	case "list_children":
		found, err := client.ListChildren(ctx, a.Stream, a.Shard)
		if err != nil {
			return err
		}
		line, _ := json.Marshal(object{"children": ids(found.Children), "complete": found.Complete})
		fmt.Println(string(line))
	case "walk_tree":
		for row, err := range client.WalkTree(ctx, a.Stream, a.Shard) {
			if err != nil {
				return err
			}
			line, _ := json.Marshal(object{"depth": row.Depth, "shard": row.Shard.ShardId})
			fmt.Println(string(line))
		}
	case "get_records":
		var options []shardstream.ReadOption
		if a.OnUnreadable == "continue" {
			options = append(options, shardstream.SkipUnreadable())
		}
		return tellBatch(client.GetRecords(ctx, a.Stream, a.Shard, a.Start.Start, options...))
	default:
		return fmt.Errorf("no such call: %s", a.Call)
	}
	return nil
}

func (a *action) watch(client *shardstream.Client) error {
	messages := 0
	for row, err := range client.WatchShards(context.Background(), a.Stream) {
		if err != nil {
			return err
		}
		shards := []string{}
		for _, shard := range row.Shards {
			shards = append(shards, shard.Shard.ShardId)
		}
		line, _ := json.Marshal(object{"watched": shards, "removed": append([]string{}, row.RemovedShardIds...)})
		fmt.Println(string(line))
		if messages++; messages == a.Take {
			say("left", true)
			return nil
		}
	}
	say("ended", true)
	return nil
}

func tellBatch(batch *shardstream.Batch, err error) error {
	if err != nil {
		return err
	}
	for _, record := range batch.Records {
		tellRecord(record)
	}
	for _, one := range batch.Unreadable {
		say(loss(one))
	}
	say("batch", object{"token": batch.Token, "exhausted": batch.Exhausted, "at_tip": batch.AtTip})
	return nil
}

func (a *action) session(client *shardstream.Client) (err error) {
	ctx := context.Background()
	session, err := client.OpenShard(ctx, a.Stream, a.Shard, a.Start.Start)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, session.Close(ctx)) }()
	for _, text := range a.Steps {
		var name string
		var step struct {
			Jump *start
			Seek time.Time
		}
		if json.Unmarshal(text, &name) != nil {
			if err := json.Unmarshal(text, &step); err != nil {
				return err
			}
		}
		switch {
		case name == "read":
			err = tellBatch(session.Read(ctx))
		case name == "stream":
			err = a.follow(func(ctx context.Context) messages { return session.Stream(ctx, a.options()...) })
		case name == "renew":
			err = session.Renew(ctx)
		case step.Jump != nil:
			err = session.Jump(ctx, step.Jump.Start)
		default:
			err = tellBatch(session.Seek(ctx, step.Seek))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var asked action
		err := json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			err = asked.play()
		}
		var failed *shardstream.Error
		if errors.As(err, &failed) {
			tellError(failed)
		} else if err != nil {
			say("fault", err.Error())
		}
		say("done", true)
	}
}
