// Command protoc-gen-asyncapi is a plugin of protoc and buf. It generates asyncapi.yaml (AsyncAPI 3.0) from all .proto files at once: a
// channel for each message with the option freeagent.options.v1.channel, and a request with its reply for each method of a service.
// The title and version of the document are parameters (title=…,version=…).
package main

import (
	"bytes"
	"flag"
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	var flags flag.FlagSet
	title := flags.String("title", "Messages", "title of the document")
	version := flags.String("version", "1", "version of the document")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		doc := newDocument(*title, *version)
		for _, f := range plugin.Files {
			if !f.Generate {
				continue
			}
			if err := doc.add(f); err != nil {
				return fmt.Errorf("%s: %w", f.Desc.Path(), err)
			}
		}
		var out bytes.Buffer
		enc := yaml.NewEncoder(&out)
		enc.SetIndent(2)
		if err := enc.Encode(doc); err != nil {
			return fmt.Errorf("encode document: %w", err)
		}
		g := plugin.NewGeneratedFile("asyncapi.yaml", "")
		g.P("# Generated from the .proto files by protoc-gen-asyncapi. Do not edit: run make generate.")
		g.P(strings.TrimSuffix(out.String(), "\n"))
		return nil
	})
}

// object has its keys sorted in YAML.
type object = map[string]any

// document is an AsyncAPI document.
type document struct {
	AsyncAPI   string `yaml:"asyncapi"`
	Info       object `yaml:"info"`
	Content    string `yaml:"defaultContentType"`
	Channels   object `yaml:"channels"`
	Operations object `yaml:"operations"`
	Components struct {
		Messages object `yaml:"messages"`
		Schemas  object `yaml:"schemas"`
	} `yaml:"components"`
}

func newDocument(title, version string) *document {
	d := &document{
		AsyncAPI: "3.0.0", Content: "application/x-protobuf", Channels: object{}, Operations: object{},
		Info: object{"title": title, "version": version, "description": "Every message on the bus. Bodies are Protocol Buffers in binary " +
			"form; the schemas show their JSON form. A channel whose description names a stream is stored in JetStream."},
	}
	d.Components.Messages, d.Components.Schemas = object{}, object{}
	return d
}

func (d *document) add(f *protogen.File) error {
	for _, m := range f.Messages {
		c, ok, err := channelOf(m.Desc)
		if err != nil {
			return err
		}
		if ok {
			d.event(m, c)
		}
	}
	for _, s := range f.Services {
		for _, m := range s.Methods {
			d.request(strings.Split(string(f.Desc.Package()), ".")[1], strings.HasSuffix(s.GoName, "WorkerService"), m)
		}
	}
	return nil
}

// channel is the option of a message.
type channel struct {
	subject, stream         string
	publishers, subscribers []string
}

// channelOf reads the option, which the plugin does not know at compile time, from the file that declares it.
func channelOf(m protoreflect.MessageDescriptor) (c channel, ok bool, err error) {
	options, declared := extension(m.ParentFile())
	if !declared || m.Options() == nil {
		return c, false, nil
	}
	raw, err := proto.Marshal(m.Options())
	if err != nil {
		return c, false, fmt.Errorf("options of %s: %w", m.FullName(), err)
	}
	types := new(protoregistry.Types)
	option := dynamicpb.NewExtensionType(options)
	if err := types.RegisterExtension(option); err != nil {
		return c, false, fmt.Errorf("options of %s: %w", m.FullName(), err)
	}
	parsed := m.Options().ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(raw, parsed); err != nil {
		return c, false, fmt.Errorf("options of %s: %w", m.FullName(), err)
	}
	if !proto.HasExtension(parsed, option) {
		return c, false, nil
	}
	v := parsed.ProtoReflect().Get(options).Message()
	field := func(name protoreflect.Name) protoreflect.Value { return v.Get(v.Descriptor().Fields().ByName(name)) }
	list := func(name protoreflect.Name) (all []string) {
		l := field(name).List()
		for i := range l.Len() {
			all = append(all, l.Get(i).String())
		}
		return all
	}
	return channel{field("subject").String(), field("stream").String(), list("publishers"), list("subscribers")}, true, nil
}

// extension finds the option among what a file imports.
func extension(f protoreflect.FileDescriptor) (protoreflect.ExtensionDescriptor, bool) {
	for i := range f.Imports().Len() {
		if e := f.Imports().Get(i).Extensions().ByName("channel"); e != nil && e.FullName() == "freeagent.options.v1.channel" {
			return e, true
		}
	}
	return nil, false
}

// event adds a published message.
func (d *document) event(m *protogen.Message, c channel) {
	description := text(m.Comments)
	if c.stream != "" {
		description += "\n\nStored in " + c.stream + "."
	}
	description += "\n\nPublished by " + strings.Join(c.publishers, ", ") + "; subscribers: " + strings.Join(c.subscribers, ", ") + "."
	d.channel(m.GoIdent.GoName, c.subject, description, d.message(m))
	for _, service := range c.publishers {
		d.Operations[service+m.GoIdent.GoName] = object{"action": "send", "channel": ref("channels", m.GoIdent.GoName), "tags": tags(service)}
	}
	for _, service := range c.subscribers {
		d.Operations[service+"On"+m.GoIdent.GoName] = object{"action": "receive", "channel": ref("channels", m.GoIdent.GoName), "tags": tags(service)}
	}
}

// request adds a method and its reply.
func (d *document) request(service string, byWorker bool, m *protogen.Method) {
	subject, name := "fa."+service+"."+snake(m.GoName), service+m.GoName
	if byWorker {
		subject, name = subject+".{worker}", service+"Worker"+m.GoName
	}
	d.channel(name, subject, text(m.Comments), d.message(m.Input))
	d.Channels[name+"Reply"] = object{"address": nil, "messages": object{m.Output.GoIdent.GoName: d.message(m.Output)}}
	d.Operations[name] = object{
		"action": "receive", "channel": ref("channels", name), "tags": tags(service),
		"reply": object{"channel": ref("channels", name+"Reply")},
	}
}

func (d *document) channel(name, subject, description string, message object) {
	c := object{"address": subject, "description": description, "messages": object{last(message): message}}
	parameters := object{}
	for token := range strings.SplitSeq(subject, ".") {
		if inner, ok := strings.CutPrefix(token, "{"); ok {
			parameters[strings.TrimSuffix(inner, "}")] = object{}
		}
	}
	if len(parameters) > 0 {
		c["parameters"] = parameters
	}
	d.Channels[name] = c
}

// message adds a message with its schema and returns the reference to it.
func (d *document) message(m *protogen.Message) object {
	name := string(m.Desc.FullName())
	d.Components.Messages[name] = object{"name": name, "summary": text(m.Comments), "payload": d.schema(m)}
	return ref("components/messages", name)
}

func ref(where, name string) object { return object{"$ref": "#/" + where + "/" + name} }

func last(reference object) string {
	path, _ := reference["$ref"].(string)
	return path[strings.LastIndexAny(path, "/.")+1:]
}

func tags(service string) []object { return []object{{"name": service}} }

func text(c protogen.CommentSet) string {
	return strings.Join(strings.Fields(string(c.Leading)), " ")
}

// snake turns SetPoolRule into set_pool_rule.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
