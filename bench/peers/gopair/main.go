// A server and its worker in the style of github.com/dradtke/distchan: channels on both ends, and
// frames of an int32 signature, an int32 length (both little-endian) and one item in gob, with a
// fresh encoder and decoder for each, over a plain net.Conn.
//
//	gopair there             the server; reads lines "COUNT SIZE", answers with seconds
//	gopair one-way           the same, the worker only counts
//	gopair WORK --connect A  its worker
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	signature int32 = 0x7F38B034
	last            = "!"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 4 && os.Args[2] == "--connect" {
		work(os.Args[1], os.Args[3])
	} else if len(os.Args) == 2 && (os.Args[1] == "there" || os.Args[1] == "one-way") {
		serve(os.Args[1])
	} else {
		log.Fatalf("cannot do %s", strings.Join(os.Args[1:], " "))
	}
}

// pump moves items from a channel to a connection, and from the connection to another channel.
func pump(conn net.Conn, out <-chan string, in chan<- string) {
	go func() {
		for item := range out {
			if err := writeItem(conn, item); err != nil {
				log.Fatal(err)
			}
		}
	}()
	reader := bufio.NewReader(conn)
	for {
		item, err := readItem(reader)
		if err == io.EOF {
			close(in)
			return
		} else if err != nil {
			log.Fatal(err)
		}
		in <- item
	}
}

func writeItem(writer io.Writer, item string) error {
	var frame bytes.Buffer
	frame.Write(make([]byte, 8))
	if err := gob.NewEncoder(&frame).Encode(item); err != nil {
		return err
	}
	header := frame.Bytes()
	binary.LittleEndian.PutUint32(header[0:], uint32(signature))
	binary.LittleEndian.PutUint32(header[4:], uint32(frame.Len()-8))
	_, err := writer.Write(frame.Bytes())
	return err
}

func readItem(reader io.Reader) (item string, err error) {
	var header [8]byte
	if _, err = io.ReadFull(reader, header[:]); err != nil {
		return
	}
	if int32(binary.LittleEndian.Uint32(header[0:])) != signature {
		return "", fmt.Errorf("wrong signature")
	}
	payload := make([]byte, binary.LittleEndian.Uint32(header[4:]))
	if _, err = io.ReadFull(reader, payload); err != nil {
		return
	}
	err = gob.NewDecoder(bytes.NewReader(payload)).Decode(&item)
	return
}

func serve(kind string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	worker := exec.Command(os.Args[0], kind, "--connect", listener.Addr().String())
	worker.Stderr = os.Stderr
	if err := worker.Start(); err != nil {
		log.Fatal(err)
	}
	defer worker.Wait()
	defer worker.Process.Kill()
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	out, in := make(chan string), make(chan string)
	go pump(conn, out, in)

	fmt.Println("ready")
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		var count, size int
		if _, err := fmt.Sscan(commands.Text(), &count, &size); err != nil {
			log.Fatal(err)
		}
		item := strings.Repeat("x", size)
		start := time.Now()
		if kind == "there" {
			there(out, in, item, count)
		} else {
			oneWay(out, in, item, count)
		}
		fmt.Println(time.Since(start).Seconds())
	}
}

func there(out chan<- string, in <-chan string, item string, count int) {
	go func() {
		for i := 0; i < count; i++ {
			out <- item
		}
	}()
	for i := 0; i < count; i++ {
		<-in
	}
}

func oneWay(out chan<- string, in <-chan string, item string, count int) {
	for i := 0; i < count; i++ {
		out <- item
	}
	out <- last
	if seen := <-in; seen != strconv.Itoa(count) {
		log.Fatalf("%d items sent, %s counted", count, seen)
	}
}

func work(kind, address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	out, in := make(chan string), make(chan string)
	go pump(conn, out, in)
	seen := 0
	for item := range in {
		if kind == "there" {
			out <- item
		} else if item == last {
			out <- strconv.Itoa(seen)
			seen = 0
		} else {
			seen++
		}
	}
}
