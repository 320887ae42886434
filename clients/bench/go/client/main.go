// Reads a table's stream by the client.
package main

import (
	"context"
	"log"

	"bench/reading"
	"shardstream"
	pb "shardstream/v1"
)

type change struct {
	id, kind, number string
	key, old, new    map[string]any
}

func main() {
	var client *shardstream.Client
	reading.Measured(func(place reading.Place) (int, error) {
		if client == nil {
			made, err := shardstream.NewClient(place.Server)
			if err != nil {
				return 0, err
			}
			client = made
		}
		seen := 0
		until := shardstream.WithUntil(&pb.Until{RecordCount: int64(place.Records)})
		for message, err := range client.Subscribe(context.Background(), place.Table, until) {
			if err != nil {
				return seen, err
			}
			for _, record := range message.Records {
				made := change{
					record.ID(), record.Type(), record.SequenceNumber(), record.Key(), record.OldImage(), record.NewImage(),
				}
				if made.new["id"] == nil {
					log.Fatal("a record without its item")
				}
				reading.Sink = made
				seen++
			}
		}
		return seen, nil
	})
}
