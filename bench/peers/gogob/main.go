// Command gogob measures Go's encoding/gob, for bench/go_gob.py.
//
// Each line on its input names a measurement and how many operations it is to make: "encode input
// 100000". The answer is a line with the nanoseconds of one operation. Encoders and decoders last,
// as they do for one connection, so that types are sent once.
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"time"
)

// Input is what the adder of the original's examples is sent.
type Input struct{ A, B int }

var values = map[string]interface{}{"input": Input{1234, 567890}, "slice": slice()}

var targets = map[string]func() interface{}{
	"input": func() interface{} { return new(Input) },
	"slice": func() interface{} { return new([]Input) },
}

func slice() []Input {
	inputs := make([]Input, 1000)
	for i := range inputs {
		inputs[i] = Input{i, i * 1000}
	}
	return inputs
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// encode makes one message after the other, each into the same emptied buffer.
func encode(shape string, count int) time.Duration {
	var buffer bytes.Buffer
	encoder := gob.NewEncoder(&buffer)
	check(encoder.Encode(values[shape]))
	start := time.Now()
	for i := 0; i < count; i++ {
		buffer.Reset()
		check(encoder.Encode(values[shape]))
	}
	return time.Since(start)
}

// decode reads one message from memory again and again, after one with the definitions.
func decode(shape string, count int) time.Duration {
	var buffer bytes.Buffer
	encoder := gob.NewEncoder(&buffer)
	check(encoder.Encode(values[shape]))
	first := append([]byte(nil), buffer.Bytes()...)
	buffer.Reset()
	check(encoder.Encode(values[shape]))
	source := &feeder{Reader: bytes.NewReader(first)}
	decoder := gob.NewDecoder(source)
	check(decoder.Decode(targets[shape]()))
	start := time.Now()
	for i := 0; i < count; i++ {
		source.Reset(buffer.Bytes())
		check(decoder.Decode(targets[shape]()))
	}
	return time.Since(start)
}

// feeder reads from whatever bytes it was given last. As a bytes.Reader it is an io.ByteReader, so
// that the decoder does not put a buffer in between.
type feeder struct{ *bytes.Reader }

var _ io.ByteReader = feeder{}

func main() {
	runtime.GOMAXPROCS(1)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var what, shape string
		var count int
		_, err := fmt.Sscan(lines.Text(), &what, &shape, &count)
		check(err)
		measure := map[string]func(string, int) time.Duration{"encode": encode, "decode": decode}[what]
		fmt.Println(float64(measure(shape, count).Nanoseconds()) / float64(count))
	}
}
