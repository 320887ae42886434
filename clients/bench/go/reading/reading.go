// Package reading is what both programs share: their arguments, and the words that are exchanged with bench.py.
package reading

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strconv"
	"syscall"
)

// Place is what the arguments say.
type Place struct {
	Server, DynamoDB, Table string
	Records                 int
}

// Measured reads once to warm up, and again at each line.
func Measured(read func(Place) (int, error)) {
	most, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	place := Place{os.Args[1], os.Args[2], os.Args[3], most}
	if _, err := read(place); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		before := cpu()
		got, err := read(place)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("{\"records\": %d, \"cpu\": %f}\n", got, cpu()-before)
	}
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

// Sink keeps what was made, so that nothing is left out.
var Sink any
