// Follows a stream and says what was lost, in its place; what to do about it is yours.
//
//	cd examples/go/client
//	go run ./losses tell|stop TABLE TOKEN_FILE [HOST:PORT]
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"shardstream"
)

func main() {
	arguments := append(os.Args[1:], "localhost:50051")
	ways := map[string]func(*shardstream.Client, string, shardstream.TokenStore) error{"tell": tell, "stop": stop}
	if len(arguments) < 4 || ways[arguments[0]] == nil {
		log.Fatal("usage: losses tell|stop TABLE TOKEN_FILE [HOST:PORT]")
	}
	client, err := shardstream.NewClient(arguments[3])
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := ways[arguments[0]](client, arguments[1], shardstream.NewFileStore(arguments[2])); err != nil {
		log.Fatal(err)
	}
}

// Goes on over losses: they are events between the records.
func tell(client *shardstream.Client, table string, store shardstream.TokenStore) error {
	messages := client.Subscribe(context.Background(), table,
		shardstream.WithStore(store), shardstream.ContinueOnGap(), shardstream.ContinueOnUnreadable())
	for message, err := range messages {
		if err != nil {
			return err
		}
		switch event := message.Event.(type) {
		case *shardstream.Gap:
			lost := "may have lost"
			if event.Certain {
				lost = "lost"
			}
			fmt.Printf("%s: %s records after %s\n", event.ShardID, lost, cmp.Or(event.AfterSequenceNumber, "its beginning"))
		case *shardstream.Unreadable:
			fmt.Printf("%s: record %s cannot be read: %s\n", event.ShardID, event.SequenceNumber, event.Cause)
		}
		tellRecords(message)
	}
	return nil
}

// Stops at a loss, as a client does unless told otherwise, and accepts it knowingly.
func stop(client *shardstream.Client, table string, store shardstream.TokenStore) error {
	for {
		err := follow(client, table, store)
		var failed *shardstream.Error
		isLoss := errors.Is(err, shardstream.ErrRecordsTrimmed) || errors.Is(err, shardstream.ErrRecordUnreadable)
		if !isLoss || !errors.As(err, &failed) {
			return err // Nil at an end, which only a stream that is named by its ARN has.
		}
		fmt.Printf("accepted: %d losses\n", len(failed.Losses))
		// Without this the next loop stops at the same loss.
		if err := store.Save(context.Background(), failed.Token); err != nil {
			return err
		}
	}
}

func follow(client *shardstream.Client, table string, store shardstream.TokenStore) error {
	for message, err := range client.Subscribe(context.Background(), table, shardstream.WithStore(store)) {
		if err != nil {
			return err
		}
		tellRecords(message)
	}
	return nil
}

func tellRecords(message *shardstream.Message) {
	for _, record := range message.Records {
		fmt.Printf("%s: %s\n", record.ShardID, record.SequenceNumber())
	}
}
