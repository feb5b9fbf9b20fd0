package jsonfile

import (
	"bytes"
	"encoding/json"
	"fmt"
)

const mark = "\xEF\xBB\xBF"

// StripMark returns data without a UTF-8 byte order mark at its start.
func StripMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte(mark)) }

// Unmarshal decodes strict JSON into v, as json.Unmarshal does. It ignores a byte order mark. The
// name is the file's name in errors. It returns a *SyntaxError if data is not JSON or has a value
// of another type than v.
func Unmarshal(name string, data []byte, v any) error {
	data = StripMark(data)
	if err := json.Unmarshal(data, v); err != nil {
		return strictError(name, data, err)
	}
	return nil
}

// Unmarshal5 decodes JSON or JSON5 into v. NaN and Infinity become null, as JSON.stringify writes
// them. It returns a *SyntaxError if data is not JSON5 or has a value of another type than v.
func Unmarshal5(name string, data []byte, v any) error {
	data = StripMark(data)
	if json.Valid(data) {
		return Unmarshal(name, data, v)
	}
	value, err := Parse5(name, data)
	if err != nil {
		return err
	}
	plain, places := value.encode()
	if err := json.Unmarshal(plain, v); err != nil {
		return places.translate(name, data, err)
	}
	return nil
}

// Parse reads strict JSON as a tree that keeps the order of keys. It ignores a byte order mark and
// returns a *SyntaxError if data is not JSON.
func Parse(name string, data []byte) (Value, error) {
	data = StripMark(data)
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Value{}, strictError(name, data, err)
	}
	return Parse5(name, data)
}

// Parse5 reads JSON or JSON5 as a tree that keeps the order of keys. It ignores a byte order mark
// and returns a *SyntaxError if data is not JSON5.
func Parse5(name string, data []byte) (Value, error) {
	data = StripMark(data)
	p := &parser{data: data}
	v, err := p.document()
	if err != nil {
		return Value{}, ErrorAt(name, data, err.offset, err.problem)
	}
	return v, nil
}

// fault is a problem at a byte offset.
type fault struct {
	offset  int
	problem string
}

func faultf(offset int, format string, args ...any) *fault {
	return &fault{offset: offset, problem: fmt.Sprintf(format, args...)}
}
