// Follows a whole stream, and goes on where it stopped, whatever stopped it.
//
//	cd examples/go
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
//	protoc -I ../../proto --go_out=. --go_opt=module=shardstream --go-grpc_out=. --go-grpc_opt=module=shardstream \
//	    ../../proto/shardstream/v1/*.proto
//	go run . TABLE TOKEN_FILE [HOST:PORT]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "shardstream/v1"
)

// How long to wait before coming again when the server does not say.
const pause = time.Second

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: follow TABLE TOKEN_FILE [HOST:PORT]")
	}
	server := "localhost:50051"
	if len(os.Args) > 3 {
		server = os.Args[3]
	}
	if err := follow(os.Args[1], os.Args[2], server); err != nil {
		log.Fatal(err)
	}
}

// Prints the records of a table's streams; the file keeps the token.
func follow(table, file, server string) error {
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := pb.NewStreamServiceClient(connection)
	for {
		delay, err := subscribe(client, table, file)
		switch code := status.Code(err); {
		case err == nil:
			return nil // Only `until`, or a stream named by its ARN, has an end.
		case delay != nil:
			time.Sleep(*delay)
		// The server went away, or a gap was told: the token stands behind it, and going on accepts the loss.
		case code == codes.Unavailable || code == codes.OutOfRange:
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// One response stream, to its end; and how long the server asks to wait before coming again, if it does.
func subscribe(client pb.StreamServiceClient, table, file string) (*time.Duration, error) {
	request := &pb.SubscribeRequest{Stream: table}
	token, err := os.ReadFile(file)
	switch {
	case err == nil:
		request.Start = &pb.SubscribeRequest_Token{Token: string(token)}
	case errors.Is(err, os.ErrNotExist):
		horizon := &pb.Position{IteratorType: pb.IteratorType_ITERATOR_TYPE_TRIM_HORIZON}
		request.Start = &pb.SubscribeRequest_Position{Position: horizon}
	default:
		return nil, err
	}
	messages, err := client.Subscribe(context.Background(), request)
	if err != nil {
		return nil, err
	}
	var delay *time.Duration
	for {
		message, err := messages.Recv()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return delay, err
		}
		tell(message)
		if asked := message.GetEnd().GetRetryDelay(); asked != nil {
			wait := asked.AsDuration()
			delay = &wait
		}
		// Not on every message. It covers all that came up to here, and nothing else.
		if message.GetToken() != "" {
			if err := keep(file, message.GetToken()); err != nil {
				return nil, err
			}
		}
	}
}

// What to do with records, and with what was lost. Other events need nothing done.
func tell(message *pb.SubscribeResponse) {
	for _, record := range message.GetRecords() {
		fmt.Print(message.GetShardId(), " ", record.GetMeta().GetSequenceNumber())
		for name, value := range record.GetKey() {
			fmt.Printf(" %s=%s%s", name, value.GetS(), value.GetN())
		}
		fmt.Println()
	}
	if gap := message.GetGap(); gap != nil {
		lost := "may have lost"
		if gap.GetCertain() {
			lost = "lost"
		}
		log.Printf("%s %s records after %q", gap.GetShardId(), lost, gap.GetAfterSequenceNumber())
	}
}

// Replaces the file at once, so that it is whole whenever this program is killed.
func keep(file, token string) error {
	if err := os.WriteFile(file+".new", []byte(token), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
