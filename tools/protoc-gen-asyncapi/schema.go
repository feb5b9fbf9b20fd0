package main

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schema adds the JSON schema of a message, and of those in it, and returns the reference to it.
func (d *document) schema(m *protogen.Message) object {
	name := string(m.Desc.FullName())
	if _, known := d.Components.Schemas[name]; known {
		return ref("components/schemas", name)
	}
	s := object{"type": "object"}
	d.Components.Schemas[name] = s // before its fields: a message may contain itself
	if about := text(m.Comments); about != "" {
		s["description"] = about
	}
	properties := object{}
	for _, f := range m.Fields {
		p := d.field(f)
		if about := text(f.Comments); about != "" {
			if _, isRef := p["$ref"]; isRef {
				p = object{"allOf": []object{p}}
			}
			p["description"] = about
		}
		properties[f.Desc.JSONName()] = p
	}
	if len(properties) > 0 {
		s["properties"] = properties
	}
	return ref("components/schemas", name)
}

func (d *document) field(f *protogen.Field) object {
	switch {
	case f.Desc.IsMap():
		return object{"type": "object", "additionalProperties": d.value(f.Message.Fields[1])}
	case f.Desc.IsList():
		return object{"type": "array", "items": d.value(f)}
	}
	return d.value(f)
}

// value returns the schema of one value, in the JSON form of Protocol Buffers (https://protobuf.dev/programming-guides/json/).
func (d *document) value(f *protogen.Field) object {
	switch f.Desc.Kind() {
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.StringKind:
		return object{"type": "string"}
	case protoreflect.BytesKind:
		return object{"type": "string", "contentEncoding": "base64"}
	case protoreflect.EnumKind:
		var names []string
		for _, v := range f.Enum.Values {
			names = append(names, string(v.Desc.Name()))
		}
		return object{"type": "string", "enum": names}
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return d.schema(f.Message)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return object{"type": "number"}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return object{"type": "string", "format": "int64"}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{"type": "integer", "format": "int32"}
	}
	return object{}
}
