//go:build ignore

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
)

// What this example needs of the wire of github.com/dradtke/distchan, with nothing but Go's standard
// library: with that package, server.go and worker.go would be shorter, and talk to the same peers.

const (
	signature int32 = 0x7F38B034
	noMore    int32 = -1
)

var errNoMore = errors.New("no item will follow")

// A peer is the other end of a connection. Each direction is one gob stream, cut into frames.
type peer struct {
	conn     net.Conn
	encoder  *gob.Encoder
	outgoing bytes.Buffer
	decoder  *gob.Decoder
	incoming bytes.Buffer
}

func newPeer(conn net.Conn) *peer {
	p := &peer{conn: conn}
	p.encoder = gob.NewEncoder(&p.outgoing)
	p.decoder = gob.NewDecoder(&p.incoming)
	return p
}

func (p *peer) send(item interface{}) error {
	p.outgoing.Reset()
	if err := p.encoder.Encode(item); err != nil {
		return err
	}
	return p.frame(int32(p.outgoing.Len()), p.outgoing.Bytes())
}

// end says that no item will follow. Only servers do.
func (p *peer) end() error {
	return p.frame(noMore, nil)
}

func (p *peer) frame(length int32, payload []byte) error {
	if err := binary.Write(p.conn, binary.LittleEndian, [2]int32{signature, length}); err != nil {
		return err
	}
	_, err := p.conn.Write(payload)
	return err
}

// receive returns errNoMore after the last item, and io.EOF if the connection was closed.
func (p *peer) receive(item interface{}) error {
	var header [2]int32
	if err := binary.Read(p.conn, binary.LittleEndian, &header); err != nil {
		return err
	}
	if header[0] != signature {
		return fmt.Errorf("a frame opens with %#x", header[0])
	}
	if header[1] == noMore {
		return errNoMore
	}
	p.incoming.Reset()
	if _, err := io.CopyN(&p.incoming, p.conn, int64(header[1])); err != nil {
		return err
	}
	return p.decoder.Decode(item)
}
