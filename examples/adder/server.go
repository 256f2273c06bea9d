//go:build ignore

// Deals pairs of random numbers to workers, prints the sums that come back and checks them: the
// same as server.py, in Go.
//
//	In one terminal:            cd examples/adder && go run server.go wire.go 20
//	In another, once or more:   python examples/adder/worker.py --wire go
//	or                          cd examples/adder && go run worker.go wire.go
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net"
	"os"
	"strconv"
	"sync"
)

type Pair struct{ A, B int }

func main() {
	log.SetFlags(0)
	log.SetPrefix("server: ")
	address := flag.String("address", "localhost:5678", "where to listen")
	workers := flag.Int("workers", 1, "how many to wait for")
	flag.Parse()
	count := 10
	if flag.NArg() > 0 {
		var err error
		if count, err = strconv.Atoi(flag.Arg(0)); err != nil {
			log.Fatal(err)
		}
	}

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "listening on %s, waiting for %d worker(s)\n", listener.Addr(), *workers)

	sums := make(chan int)
	var peers []*peer
	var present sync.WaitGroup
	for len(peers) < *workers {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		p := newPeer(conn)
		peers = append(peers, p)
		present.Add(1)
		go func() {
			defer present.Done()
			defer conn.Close()
			var sum int
			for p.receive(&sum) == nil { // until the worker closes its connection
				sums <- sum
			}
		}()
	}

	expected := make(map[int]int)
	pairs := make([]Pair, count)
	for i := range pairs {
		pairs[i] = Pair{rand.Intn(1000), rand.Intn(1000)}
		expected[pairs[i].A+pairs[i].B]++
	}
	go func() {
		for i, pair := range pairs {
			if err := peers[i%len(peers)].send(pair); err != nil {
				log.Fatal(err)
			}
		}
		for _, p := range peers {
			p.end() // every worker learns that no more work is coming
		}
		present.Wait()
		close(sums)
	}()

	got := 0
	for sum := range sums {
		fmt.Println(sum)
		expected[sum]--
		got++
	}
	for _, missing := range expected {
		if missing != 0 {
			log.Fatalf("%d sums for %d pairs, and they are not the right ones", got, count)
		}
	}
	fmt.Printf("%d pairs, all sums are right\n", count)
}
