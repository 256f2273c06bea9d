// Command echo decodes gob streams and encodes what it got, one after the other.
//
// Each message on its input and its output is a length (four bytes, big-endian) and the bytes. The
// first byte of an input says which type to decode into; the rest is a gob stream of one value. The
// answer is a zero byte and a stream of that value, or a one byte and the words of an error.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"time"
)

type Point struct{ X, Y int }

type Scalars struct {
	B    bool
	I    int
	I8   int8
	I16  int16
	I32  int32
	U    uint
	U8   uint8
	U64  uint64
	F32  float32
	F64  float64
	C128 complex128
	S    string
	Data []byte
}

type Composite struct {
	Ints   []int
	Bools  []bool
	Texts  map[string]string
	Deep   map[int][]Scalars
	Corner [3]float64
	Next   *Composite
	Point  Point
	Spot   *Point
	At     time.Time
}

type Held struct {
	Name   string
	Value  interface{}
	Values []interface{}
	ByName map[string]interface{}
	Last   int
}

var types = []func() interface{}{
	func() interface{} { return new(Scalars) },
	func() interface{} { return new(Composite) },
	func() interface{} { return new(Held) },
	func() interface{} { return new([]Scalars) },
	func() interface{} { return new(map[string][]int) },
	func() interface{} { return new(int) },
	func() interface{} { return new(string) },
	func() interface{} { return new(time.Time) },
	func() interface{} { return new(interface{}) },
}

func again(input []byte) ([]byte, error) {
	value := types[input[0]]()
	if err := gob.NewDecoder(bytes.NewReader(input[1:])).Decode(value); err != nil {
		return nil, err
	}
	var output bytes.Buffer
	output.WriteByte(0)
	err := gob.NewEncoder(&output).Encode(value)
	return output.Bytes(), err
}

func main() {
	gob.Register(Point{})
	gob.Register(Held{})
	gob.Register([]interface{}{})
	gob.Register(map[string]interface{}{})
	gob.Register(time.Time{})
	input := bufio.NewReader(os.Stdin)
	for {
		var length uint32
		if err := binary.Read(input, binary.BigEndian, &length); err != nil {
			return
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(input, data); err != nil {
			return
		}
		output, err := again(data)
		if err != nil {
			output = append([]byte{1}, fmt.Sprint(err)...)
		}
		binary.Write(os.Stdout, binary.BigEndian, uint32(len(output)))
		os.Stdout.Write(output)
	}
}
