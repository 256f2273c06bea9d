//go:build ignore

// Receives pairs of numbers from the server and sends back their sums, until there are no more: the
// same as worker.py, in Go.
//
//	In one terminal:            python examples/adder/server.py 20 --wire go
//	or                          cd examples/adder && go run server.go wire.go 20
//	In another, once or more:   cd examples/adder && go run worker.go wire.go
package main

import (
	"flag"
	"log"
	"net"
)

type Pair struct{ A, B int }

func main() {
	log.SetFlags(0)
	log.SetPrefix("worker: ")
	address := flag.String("address", "localhost:5678", "of the server")
	flag.Parse()

	conn, err := net.Dial("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := newPeer(conn)
	for {
		var pair Pair // a new one: gob leaves alone what the sender has left out for being zero
		if err := server.receive(&pair); err == errNoMore {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		if err := server.send(pair.A + pair.B); err != nil {
			log.Fatal(err)
		}
	}
	conn.Close() // which is how the server learns that no more sums will come
}
