// Command peer is one end of the wire of github.com/dradtke/distchan, and misbehaves on demand.
//
//	peer server [flags]    deals pairs of numbers to workers, adds up the sums that come back
//	peer worker [flags]    sends back the sum of each pair
//
// Events go to the standard output, one a line.
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"
)

type Input struct {
	A, B int
	Data []byte // for measurements
}

type Result struct{ Sum int }

var (
	address = flag.String("address", "127.0.0.1:0", "where to listen or to connect to")
	key     = flag.String("key", "", "of AES-CFB, in hexadecimal digits")
	mode    = flag.String("mode", "", "how to misbehave")
	items   = flag.Int("items", 100, "how many to deal, or to misbehave after")
	size    = flag.Int("size", 0, "bytes of data in each item")
	workers = flag.Int("workers", 1, "how many to wait for")
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("peer server|worker [flags]")
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "server":
		serve()
	case "worker":
		work()
	default:
		log.Fatalf("cannot be a %s", os.Args[1])
	}
}

func join(conn net.Conn) *link {
	var secret []byte
	if *key != "" {
		var err error
		if secret, err = hex.DecodeString(*key); err != nil {
			log.Fatal(err)
		}
	}
	l := newLink(conn, secret)
	if *mode == "bytewise" {
		l.writer = bytewise{conn}
	}
	return l
}

// untilTold waits for a line on the standard input.
func untilTold(event string) {
	fmt.Println(event)
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// half writes the beginning of a frame.
func half(l *link) {
	payload := l.encode(Result{1})
	if err := l.write(int32(len(payload)), payload[:len(payload)/2]); err != nil {
		log.Fatal(err)
	}
}

func work() {
	conn, err := dial(*address)
	if err != nil {
		log.Fatal(err)
	}
	l := join(conn)
	if *mode == "deaf" {
		untilTold("deaf")
	}
	counted := 0
	for count := 0; ; count++ {
		var in Input
		err := l.receive(&in)
		if err == errEnd {
			break
		} else if err == io.EOF {
			fmt.Println("cut off")
			os.Exit(3)
		} else if err != nil {
			log.Fatal(err)
		}
		if count == *items {
			switch *mode {
			case "vanish": // in the middle of a frame
				half(l)
				os.Exit(1)
			case "half": // to be killed in the middle of a frame
				half(l)
				untilTold("half")
			case "garbage":
				l.write(4, []byte("\x03\xff\xff\xff"))
				io.Copy(io.Discard, conn)
				fmt.Println("closed")
				return
			case "leave":
				return
			}
		}
		if *mode == "count" {
			counted++
		} else if err := l.send(Result{in.A + in.B}); err != nil {
			log.Fatal(err)
		}
	}
	if *mode == "count" {
		if err := l.send(Result{counted}); err != nil {
			log.Fatal(err)
		}
	}
	if *mode == "late" {
		untilTold("ended")
	}
	if *mode == "close" { // so that TLS says so; the end of the process does not
		if err := conn.Close(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("done")
}

func serve() {
	listener, err := listen(*address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening", listener.Addr())

	var links []*link
	var readers sync.WaitGroup
	sums := make(chan int)
	for len(links) < *workers {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		l := join(conn)
		links = append(links, l)
		readers.Add(1)
		go func() {
			defer readers.Done()
			gather(l, sums)
			conn.Close()
		}()
	}
	data := make([]byte, *size)
	began := time.Now()
	go func() {
		for i := 0; i < *items; i++ {
			if err := links[i%len(links)].send(Input{i, 1, data}); err != nil {
				log.Fatal(err)
			}
			if *mode == "vanish" && i == *items/2 {
				os.Exit(1)
			}
		}
		if *mode == "late" {
			untilTold("dealt")
		}
		for _, l := range links {
			l.write(end, nil)
		}
		readers.Wait()
		close(sums)
	}()
	count, total := 0, 0
	for sum := range sums {
		count++
		total += sum
	}
	fmt.Println("results", count, total)
	fmt.Println("seconds", time.Since(began).Seconds())
}

func gather(l *link, sums chan<- int) {
	for {
		var result Result
		err := l.receive(&result)
		if err == io.EOF || errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			log.Println("a worker is gone:", err)
			return
		}
		sums <- result.Sum
	}
}
