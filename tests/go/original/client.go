// Package distchan stands in for the original, which no test downloads: as much of its API as
// docs/go.md shows, so that what stands there compiles and runs.
package distchan

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"log"
	"net"
	"reflect"
)

const (
	signature int32 = 0x7F38B034
	noMore    int32 = -1
)

// A Client joins a pair of channels with a server.
type Client struct {
	conn    net.Conn
	out, in reflect.Value
	done    chan struct{}
}

// NewClient returns an error if one of them is no channel.
func NewClient(conn net.Conn, out, in interface{}) (*Client, error) {
	c := &Client{conn, reflect.ValueOf(out), reflect.ValueOf(in), make(chan struct{})}
	for _, channel := range []reflect.Value{c.out, c.in} {
		if channel.Kind() != reflect.Chan {
			return nil, fmt.Errorf("%v is no channel", channel)
		}
	}
	return c, nil
}

// Start moves items from now on.
func (c *Client) Start() *Client {
	go c.receive()
	go c.send()
	return c
}

// Done returns a channel that is closed when everything has been written.
func (c *Client) Done() <-chan struct{} { return c.done }

func (c *Client) receive() {
	var payload bytes.Buffer
	decoder := gob.NewDecoder(&payload)
	for {
		var header [2]int32
		if err := binary.Read(c.conn, binary.LittleEndian, &header); err != nil {
			log.Fatal(err)
		}
		if header == [2]int32{signature, noMore} {
			c.in.Close()
			return
		}
		payload.Reset()
		if _, err := io.CopyN(&payload, c.conn, int64(header[1])); err != nil {
			log.Fatal(err)
		}
		item := reflect.New(c.in.Type().Elem())
		if err := decoder.DecodeValue(item); err != nil {
			log.Fatal(err)
		}
		c.in.Send(item.Elem())
	}
}

func (c *Client) send() {
	defer close(c.done)
	var payload bytes.Buffer
	encoder := gob.NewEncoder(&payload)
	for {
		item, ok := c.out.Recv()
		if !ok {
			return
		}
		payload.Reset()
		if err := encoder.EncodeValue(item); err != nil {
			log.Fatal(err)
		}
		header := [2]int32{signature, int32(payload.Len())}
		if err := binary.Write(c.conn, binary.LittleEndian, header); err != nil {
			log.Fatal(err)
		}
		if _, err := payload.WriteTo(c.conn); err != nil {
			log.Fatal(err)
		}
	}
}
