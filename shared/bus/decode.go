package bus

import (
	"bytes"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/expo-free-agent/freeagent/shared/text"
)

// Decode unpacks a message and cleans its strings (see package text), since PostgreSQL refuses to store a NUL and the handler would fail for
// ever. It returns an error for invalid UTF-8, as any protobuf message does.
func Decode(data []byte, m proto.Message) error {
	if err := proto.Unmarshal(data, m); err != nil {
		return err
	}
	if bytes.IndexByte(data, 0) >= 0 { // rare: a field that is zero is left out
		clean(m.ProtoReflect())
	}
	return nil
}

func clean(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			cleanMap(f, v.Map())
		case f.IsList():
			for l, i := v.List(), 0; i < l.Len(); i++ {
				if now, changed := cleaned(f, l.Get(i)); changed {
					l.Set(i, now)
				}
			}
		default:
			if now, changed := cleaned(f, v); changed {
				m.Set(f, now)
			}
		}
		return true
	})
}

// cleanMap cleans keys too: they are strings from outside like any other.
func cleanMap(f protoreflect.FieldDescriptor, entries protoreflect.Map) {
	type entry struct {
		was, key protoreflect.MapKey
		value    protoreflect.Value
	}
	var changed []entry
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		key, other := cleaned(f.MapKey(), k.Value())
		value, another := cleaned(f.MapValue(), v)
		if other || another {
			changed = append(changed, entry{k, key.MapKey(), value})
		}
		return true
	})
	for _, e := range changed {
		entries.Clear(e.was)
		entries.Set(e.key, e.value)
	}
}

// cleaned returns the value to set instead of v, if it is another. Messages are cleaned in place.
func cleaned(f protoreflect.FieldDescriptor, v protoreflect.Value) (protoreflect.Value, bool) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		clean(v.Message())
	case protoreflect.StringKind:
		if s := v.String(); !text.Valid(s) {
			return protoreflect.ValueOfString(text.Clean(s)), true
		}
	}
	return v, false
}
