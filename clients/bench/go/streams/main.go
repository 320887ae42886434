// What memory.py asks for.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"shardstream"
)

func main() {
	table, what := os.Args[2], os.Args[3]
	client, err := shardstream.NewClient(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.ServerInfo(context.Background()); err != nil {
		log.Fatal(err)
	}
	many, err := strconv.Atoi(what)
	latest := []shardstream.StreamOption{
		shardstream.StartAt(shardstream.Latest), shardstream.WithHeartbeats(), shardstream.WithHeartbeatInterval(time.Second),
	}
	isSlow := err != nil
	if isSlow {
		many, latest = 1, nil
	}
	var had sync.WaitGroup
	had.Add(many)
	for range many {
		go func() {
			first := sync.OnceFunc(had.Done)
			for _, err := range client.Subscribe(context.Background(), table, latest...) {
				if err != nil {
					log.Fatal(err)
				}
				first()
				if isSlow {
					select {}
				}
			}
		}()
	}
	had.Wait()
	fmt.Println("ready")
	time.Sleep(time.Hour)
}
