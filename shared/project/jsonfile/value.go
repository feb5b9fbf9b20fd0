package jsonfile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
)

// Kind is the type of a value.
type Kind int

// The types of JSON.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String returns the type's name as JSON calls it.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// Value is a node of a parsed file.
type Value struct {
	Kind Kind
	// Offset is the byte at which the value starts, after a byte order mark.
	Offset int
	Bool   bool
	// Number may be NaN or infinite in JSON5.
	Number float64
	// Text is the string, or a number as the file has it.
	Text  string
	Items []Value
	// Members are in the order of the file, duplicates included.
	Members []Member
}

// Member is a key of an object with its value.
type Member struct {
	Key string
	// Offset is the byte at which the key starts.
	Offset int
	Value  Value
}

// Get returns the value of a key. The last one counts if the file has several.
func (v Value) Get(key string) (Value, bool) {
	for _, m := range slices.Backward(v.Members) {
		if m.Key == key {
			return m.Value, true
		}
	}
	return Value{}, false
}

// Ordered returns the members as JavaScript enumerates them: keys that are array indices first, in
// numeric order, then the others in the order of the file. Of duplicates it returns one, at the
// first place with the last value.
func (v Value) Ordered() []Member {
	seen := make(map[string]int, len(v.Members))
	members := make([]Member, 0, len(v.Members))
	for _, m := range v.Members {
		if at, ok := seen[m.Key]; ok {
			members[at].Value = m.Value
			continue
		}
		seen[m.Key] = len(members)
		members = append(members, m)
	}
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Compare(index(a.Key), index(b.Key)) })
	return members
}

// index returns the number of a key that is an array index, else a number above all of them.
func index(key string) uint64 {
	n, err := strconv.ParseUint(key, 10, 32)
	if err != nil || n == math.MaxUint32 || strconv.FormatUint(n, 10) != key {
		return math.MaxUint32
	}
	return n
}

// MarshalJSON writes the value as strict JSON in the order of the file. NaN and Infinity become
// null.
func (v Value) MarshalJSON() ([]byte, error) {
	data, _ := v.encode()
	return data, nil
}

// encode returns the value as strict JSON, and where each part of it came from.
func (v Value) encode() ([]byte, places) {
	var e encoder
	e.value(v)
	return e.out, e.places
}

type encoder struct {
	out    []byte
	places places
}

func (e *encoder) value(v Value) {
	e.places = append(e.places, place{from: len(e.out), to: v.Offset})
	switch v.Kind {
	case Null:
		e.out = append(e.out, "null"...)
	case Bool:
		e.out = strconv.AppendBool(e.out, v.Bool)
	case Number:
		e.out = append(e.out, v.number()...)
	case String:
		e.text(v.Text)
	case Array:
		e.out = append(e.out, '[')
		for i, item := range v.Items {
			if i > 0 {
				e.out = append(e.out, ',')
			}
			e.value(item)
		}
		e.out = append(e.out, ']')
	case Object:
		e.out = append(e.out, '{')
		for i, m := range v.Members {
			if i > 0 {
				e.out = append(e.out, ',')
			}
			e.text(m.Key)
			e.out = append(e.out, ':')
			e.value(m.Value)
		}
		e.out = append(e.out, '}')
	}
}

// text writes a string. Parsed strings are valid UTF-8, which always encodes.
func (e *encoder) text(s string) {
	data, err := json.Marshal(s)
	if err != nil {
		data = []byte(`""`)
	}
	e.out = append(e.out, data...)
}

// number returns the number in JSON's grammar. A number that is JSON already stays as written,
// since a float64 may lose digits.
func (v Value) number() string {
	switch {
	case json.Valid([]byte(v.Text)):
		return v.Text
	case math.IsNaN(v.Number) || math.IsInf(v.Number, 0):
		return "null"
	case math.Abs(v.Number) < 1e21:
		return strconv.FormatFloat(v.Number, 'f', -1, 64)
	}
	return strconv.FormatFloat(v.Number, 'e', -1, 64)
}

// place maps an offset of the encoded JSON to one of the file.
type place struct{ from, to int }

type places []place

// translate returns an error of encoding/json about the encoded text as one about the file.
func (p places) translate(name string, data []byte, err error) error {
	typed, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return fmt.Errorf("%s: %w", name, err)
	}
	after := sort.Search(len(p), func(i int) bool { return p[i].from > int(typed.Offset)-1 })
	offset := 0
	if after > 0 {
		offset = p[after-1].to
	}
	return ErrorAt(name, data, offset, typeProblem(typed))
}
