// Command vectors prints, as JSON, what encoding/gob makes of values of every kind.
//
//	go run . > ../../data/gob_vectors.json
//
// The ids of types are global to a Go program, in the order in which it first uses them. So each
// case runs in a process of its own, and begins with the first id, as a Python encoder does.
package main

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"runtime"
	"time"
)

type Point struct{ X, Y int }

type Scalars struct {
	B    bool
	I    int
	I8   int8
	I16  int16
	I32  int32
	I64  int64
	U    uint
	U8   uint8
	U16  uint16
	U32  uint32
	U64  uint64
	F32  float32
	F64  float64
	C64  complex64
	C128 complex128
	S    string
	Data []byte
}

type Empty struct{}

type Nested struct {
	Name   string
	Origin Point
	Points []Point
	Corner [2]Point
	ByName map[string]Point
	Grid   [][]int
	Empty  Empty
	Next   *Point
}

type List struct {
	Value int
	Next  *List
}

type Tree struct {
	Label string
	Kids  []Tree
	Named map[string]Tree
}

type Ping struct {
	N     int
	Pongs []Pong
}

type Pong struct {
	S     string
	Pings []Ping
	Pongs []Pong
}

type Pointers struct {
	I *int
	S *string
	L *[]int
	P *Point
	T *time.Time
}

type Held struct{ Value interface{} }

type Many struct {
	Name   string
	Values []interface{}
	ByName map[string]interface{}
	Last   int
}

type Event struct {
	At   time.Time
	Name string
}

type Arrays struct {
	Ints  [3]int
	Bytes [4]byte
	Strs  [2]string
}

type Binary struct{ n byte }

func (b Binary) MarshalBinary() ([]byte, error)  { return []byte{b.n, b.n}, nil }
func (b *Binary) UnmarshalBinary(d []byte) error { b.n = d[0]; return nil }

type Gobber struct{ s string }

func (g Gobber) GobEncode() ([]byte, error) { return []byte(g.s), nil }
func (g *Gobber) GobDecode(d []byte) error  { g.s = string(d); return nil }

type Marshalers struct {
	B  Binary
	G  Gobber
	Bs []Binary
}

type Maps struct {
	Empty map[string]int
	Nil   map[string]int
	Ints  map[int]string
	Deep  map[string]map[string][]int
	Keys  map[Point]bool
}

type PointerSlices struct {
	Points []*Point
	ByName map[string]*Point
}

func one(values ...interface{}) []interface{} { return values }

func pointer[T any](value T) *T { return &value }

type testCase struct {
	name   string
	values []interface{}
}

func cases() []testCase {
	berlin := time.FixedZone("", 3600)
	odd := time.FixedZone("", -(3600 + 61))
	moment := time.Date(2024, 2, 29, 12, 30, 15, 123456000, time.UTC)
	any := func(value interface{}) *interface{} { return &value }
	cases := []testCase{
		{"bool", one(true, false)},
		{"int", one(0, 1, -1, 63, 64, -64, -65, 1<<20, math.MaxInt64, math.MinInt64)},
		{"int8", one(int8(-128), int8(127))},
		{"uint", one(uint(0), uint(127), uint(128), uint(255), uint(256), uint(math.MaxUint64))},
		{"float", one(0.0, math.Copysign(0, -1), 1.0, -2.5, 0.1, math.Inf(1), math.MaxFloat64, 5e-324)},
		{"float32", one(float32(0.1), float32(math.MaxFloat32))},
		{"complex", one(0i, 1+2i, -0.5i)},
		{"string", one("", "häuser", "\xff\xfe not UTF-8", "\x00")},
		{"bytes", one([]byte{}, []byte("\x00\xff"), bytes.Repeat([]byte("x"), 300))},
		{"slice of int", one([]int{}, []int{0, 1, -1})},
		{"slice of string", one([]string{"a", ""})},
		{"slice of bool", one([]bool{true, false})},
		{"slice of float", one([]float64{0, 1.5})},
		{"slice of bytes", one([][]byte{nil, []byte("a")})},
		{"slice of slice", one([][][]int{{{1}, {}}, {}})},
		{"map of point", one(map[string]Point{"a": {1, 2}})},
		{"map by point", one(map[Point]Point{{1, 2}: {3, 4}})},
		{"array of point", one([2]Point{{1, 2}, {3, 4}})},
		{"array", one([3]int{0, 1, 2})},
		{"array of arrays", one([2][3]string{{"a"}, {"", "", "b"}})},
		{"empty array", one([0]int{})},
		{"map", one(map[string]int{"a": 0}, map[string]int{})},
		{"map of slices", one(map[int][]string{-1: {"a"}})},
		{"point", one(Point{22, 33}, Point{}, Point{0, -1})},
		{"slice of point", one([]Point{{1, 2}, {}, {0, 3}})},
		{"scalars", one(Scalars{})},
		{"all scalars", one(Scalars{true, 1, -8, 16, -32, 64, 1, 8, 16, 32, math.MaxUint64, 0.1, 0.1,
			1i, 1 + 2i, "s", []byte("data")})},
		{"negative zero", one(Scalars{F64: math.Copysign(0, -1), I: 5})},
		{"nested", one(Nested{})},
		{"full nested", one(Nested{"n", Point{1, 2}, []Point{{3, 4}, {}}, [2]Point{{}, {5, 6}},
			map[string]Point{"k": {7, 8}}, [][]int{{1}, nil}, Empty{}, &Point{9, 0}})},
		{"list", one(List{1, &List{2, &List{3, nil}}})},
		{"tree", one(Tree{"root", []Tree{{"a", nil, nil}, {"b", []Tree{{}}, nil}},
			map[string]Tree{"k": {Label: "c"}}})},
		{"ping", one(Ping{1, []Pong{{"a", []Ping{{2, nil}}, []Pong{{S: "b"}}}}})},
		{"pong", one(Pong{"a", []Ping{{2, nil}}, []Pong{{S: "b"}}})},
		{"pointers", one(Pointers{}, Pointers{pointer(1), pointer("a"), &[]int{1}, &Point{1, 0}, &moment},
			Pointers{I: pointer(0)})},
		{"pointer slices", one(PointerSlices{[]*Point{{1, 2}}, map[string]*Point{"a": {3, 4}}})},
		{"time", one(moment, moment.In(berlin), moment.In(odd), time.Time{})},
		{"event", one(Event{moment, "now"}, Event{})},
		{"arrays", one(Arrays{}, Arrays{[3]int{1, 2, 3}, [4]byte{1, 255}, [2]string{"", "a"}})},
		{"marshalers", one(Marshalers{Binary{1}, Gobber{"g"}, []Binary{{2}}})},
		{"binary", one(Binary{7})},
		{"maps", one(Maps{}, Maps{map[string]int{}, nil, map[int]string{1: "a"},
			map[string]map[string][]int{"a": {"b": {1}}}, map[Point]bool{{1, 2}: true}})},
		{"interface of int", one(any(5), any("text"))},
		{"nil held", one(Held{})},
	}
	for name, value := range map[string]interface{}{
		"int": 7, "string": "seven", "bool": true, "float": 7.5, "complex": 7i,
		"bytes": []byte("7"), "ints": []int{7}, "point": Point{7, 8}, "time": moment,
		"points": []Point{{1, 2}}, "nested held": Held{Held{Point{1, 2}}},
		"pointer": &Point{1, 2},
	} {
		cases = append(cases, testCase{"held " + name, one(Held{value}, Held{value})})
	}
	many := Many{"m", []interface{}{1, "a", nil, Point{1, 2}, Held{Point{3, 4}}, []Point{{5, 6}}, 2.5},
		map[string]interface{}{"k": Event{moment, "e"}}, 9}
	cases = append(cases,
		testCase{"many", one(many, many)},
		testCase{"deep interfaces", one(Held{Held{Held{Many{"x", []interface{}{Held{Point{1, 2}}, Event{}}, nil, 1}}}},
			Held{5})},
		testCase{"slice of interface", one([]interface{}{nil, 1, Point{1, 2}, Point{}, "a"})},
		testCase{"map of interface", one(map[string]interface{}{"a": Tree{"t", nil, nil}})},
	)
	return cases
}

func main() {
	log.SetFlags(0)
	gob.Register(Point{})
	gob.Register([]Point{})
	gob.Register(Held{})
	gob.Register(Many{})
	gob.Register(Event{})
	gob.Register(Tree{})
	gob.Register(time.Time{})
	if len(os.Args) > 1 {
		for _, each := range cases() {
			if each.name == os.Args[1] {
				printEncoded(each)
			}
		}
		return
	}
	vectors := map[string]interface{}{}
	for _, each := range cases() {
		output, err := exec.Command(os.Args[0], each.name).Output()
		if err != nil {
			log.Fatalf("%s: %v", each.name, err)
		}
		var encoded []string
		if err := json.Unmarshal(output, &encoded); err != nil {
			log.Fatal(err)
		}
		vectors[each.name] = encoded
	}
	text, err := json.MarshalIndent(map[string]interface{}{"go": runtime.Version(), "vectors": vectors}, "", " ")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

// printEncoded prints what each Encode of a case wrote, all to one stream.
func printEncoded(each testCase) {
	var stream bytes.Buffer
	var written []string
	encoder := gob.NewEncoder(&stream)
	for _, value := range each.values {
		if err := encoder.Encode(value); err != nil {
			log.Fatal(err)
		}
		written = append(written, hex.EncodeToString(stream.Bytes()))
		stream.Reset()
	}
	text, _ := json.Marshal(written)
	fmt.Println(string(text))
}
