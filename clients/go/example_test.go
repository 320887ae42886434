package shardstream_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"shardstream"
)

func ExampleClient_Subscribe() {
	client, err := shardstream.NewClient("localhost:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	store := shardstream.NewFileStore("orders.token")
	for message, err := range client.Subscribe(context.Background(), "orders", shardstream.WithStore(store)) {
		if errors.Is(err, shardstream.ErrRecordsTrimmed) {
			log.Print("records are gone: ", err) // The error's Token accepts that.
		}
		if err != nil {
			log.Fatal(err)
		}
		for _, record := range message.Records {
			fmt.Println(record.ShardID, record.Type(), record.Key())
		}
	}
}
