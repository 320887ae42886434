// Copies a table into a bbolt file, each change exactly once: items and position are kept in one transaction.
//
//	cd examples/go/client
//	go run ./table TABLE FILE [HOST:PORT]
//	go run ./table FILE                     prints the copy
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"go.etcd.io/bbolt"

	"shardstream"
)

var items, places, place = []byte("items"), []byte("position"), []byte("tokens")

// An item, and how often it was changed.
type row struct {
	Item    map[string]any
	Changes int
}

func main() {
	arguments := append(os.Args[1:], "localhost:50051")
	var err error
	switch len(arguments) {
	case 2:
		err = tell(arguments[0])
	case 3, 4:
		err = follow(arguments[0], arguments[1], arguments[2])
	default:
		log.Fatal("usage: table TABLE FILE [HOST:PORT]")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Runs until it is stopped.
func follow(table, file, server string) error {
	database, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		return err
	}
	defer database.Close()
	client, err := shardstream.NewClient(server)
	if err != nil {
		return err
	}
	defer client.Close()
	start, err := begin(database)
	if err != nil {
		return err
	}
	for message, err := range client.Subscribe(context.Background(), table, shardstream.StartAt(start)) {
		if err != nil {
			return err
		}
		err := database.Update(func(transaction *bbolt.Tx) error {
			for _, record := range message.Records {
				if err := apply(transaction.Bucket(items), record); err != nil {
					return err
				}
			}
			return transaction.Bucket(places).Put(place, []byte(message.Position()))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Where to go on; the oldest record at first.
func begin(database *bbolt.DB) (start shardstream.Start, err error) {
	err = database.Update(func(transaction *bbolt.Tx) error {
		for _, name := range [][]byte{items, places} {
			if _, err := transaction.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		start = shardstream.From(string(transaction.Bucket(places).Get(place)))
		return nil
	})
	return start, err
}

// One change.
func apply(rows *bbolt.Bucket, record shardstream.Record) error {
	key, err := json.Marshal(record.Key())
	if err != nil {
		return err
	}
	if record.Type() == "REMOVE" {
		return rows.Delete(key)
	}
	var kept row
	if found := rows.Get(key); found != nil {
		if err := json.Unmarshal(found, &kept); err != nil {
			return err
		}
	}
	kept.Item = record.NewImage()
	kept.Changes++
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return rows.Put(key, text)
}

// Each item of the copy, and how often it was changed.
func tell(file string) error {
	database, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer database.Close()
	return database.View(func(transaction *bbolt.Tx) error {
		return transaction.Bucket(items).ForEach(func(key, text []byte) error {
			var kept row
			if err := json.Unmarshal(text, &kept); err != nil {
				return err
			}
			fmt.Printf("%s %v %d\n", key, kept.Item, kept.Changes)
			return nil
		})
	})
}
