package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
)

const (
	signature int32 = 0x7F38B034
	end       int32 = -1
)

// A link is one end of a connection: frames of an int32 signature and an int32 length, both
// little-endian, and one item in gob. The definitions of its type come with the first item only.
type link struct {
	reader  io.Reader
	writer  io.Writer
	block   cipher.Block // nil: in the clear
	encoder *gob.Encoder
	encoded bytes.Buffer
	decoder *gob.Decoder
	decoded bytes.Buffer
}

func newLink(conn io.ReadWriter, key []byte) *link {
	l := &link{reader: conn, writer: conn}
	if key != nil {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err)
		}
		l.block = block
	}
	l.encoder = gob.NewEncoder(&l.encoded)
	l.decoder = gob.NewDecoder(&l.decoded)
	return l
}

// encode makes the payload of an item.
func (l *link) encode(item interface{}) []byte {
	l.encoded.Reset()
	if err := l.encoder.Encode(item); err != nil {
		panic(err)
	}
	plain := append([]byte(nil), l.encoded.Bytes()...)
	if l.block == nil {
		return plain
	}
	sealed := make([]byte, aes.BlockSize+len(plain))
	if _, err := rand.Read(sealed[:aes.BlockSize]); err != nil {
		panic(err)
	}
	stream := cipher.NewCFBEncrypter(l.block, sealed[:aes.BlockSize])
	stream.XORKeyStream(sealed[aes.BlockSize:], plain)
	return sealed
}

// write writes a frame in three pieces, and fails if the connection does.
func (l *link) write(length int32, payload []byte) error {
	for _, part := range []interface{}{signature, length, payload} {
		if err := binary.Write(l.writer, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) send(item interface{}) error {
	payload := l.encode(item)
	return l.write(int32(len(payload)), payload)
}

// receive decodes the item of the next frame. It returns io.EOF at the end of the frames, whether
// that was said or the connection was closed between two of them.
func (l *link) receive(item interface{}) error {
	var head struct{ Signature, Length int32 }
	if err := binary.Read(l.reader, binary.LittleEndian, &head); err != nil {
		return err
	}
	if head.Signature != signature {
		return fmt.Errorf("signature %#x", head.Signature)
	}
	if head.Length == end {
		return errEnd
	}
	payload := make([]byte, head.Length)
	if _, err := io.ReadFull(l.reader, payload); err != nil {
		return err
	}
	if l.block != nil {
		stream := cipher.NewCFBDecrypter(l.block, payload[:aes.BlockSize])
		payload = payload[aes.BlockSize:]
		stream.XORKeyStream(payload, payload)
	}
	l.decoded.Reset()
	l.decoded.Write(payload)
	if err := l.decoder.Decode(item); err != nil {
		panic(err) // as the original does: one bad item ends the program
	}
	return nil
}

var errEnd = fmt.Errorf("no frame will follow")

// bytewise writes every byte on its own.
type bytewise struct{ io.Writer }

func (w bytewise) Write(data []byte) (int, error) {
	for i := range data {
		if n, err := w.Writer.Write(data[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(data), nil
}
