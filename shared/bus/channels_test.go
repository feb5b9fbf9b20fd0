package bus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1" // its messages
	optionsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/options/v1"
	_ "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1" // its messages
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// channels returns the documented channel of each message that has one.
func channels(t *testing.T) map[protoreflect.FullName]*optionsv1.Channel {
	t.Helper()
	all := map[protoreflect.FullName]*optionsv1.Channel{}
	protoregistry.GlobalTypes.RangeMessages(func(m protoreflect.MessageType) bool {
		if c, ok := proto.GetExtension(m.Descriptor().Options(), optionsv1.E_Channel).(*optionsv1.Channel); ok && c != nil {
			all[m.Descriptor().FullName()] = c
		}
		return true
	})
	return all
}

var variable = regexp.MustCompile(`\{[a-z]+\}`)

// TestDocumentedChannels holds what the AsyncAPI document says of subjects and streams against the code that makes them.
func TestDocumentedChannels(t *testing.T) {
	t.Parallel()
	made := []string{
		bus.QueueSubject("{pool}", "{platform}", "{build}", 1), bus.LogSubject("{worker}", "{build}", 1), bus.TelemetrySubject("{worker}", "{build}"),
		bus.ControlSubject("{worker}"), bus.WakeSubject("{pool}", "{platform}"), bus.KeySubject("{key}"),
	}
	for _, e := range eventConstants(t) {
		subject := bus.BuildSubject("{build}", e)
		if slices.Contains([]bus.Event{bus.Registered, bus.Online, bus.Offline}, e) {
			subject = bus.WorkerSubject("{worker}", e)
		}
		made = append(made, subject)
	}
	documented := map[string]bool{}
	for name, c := range channels(t) {
		subject := strings.ReplaceAll(c.GetSubject(), "{attempt}", "1")
		documented[subject] = true
		stream := bus.StreamOf(variable.ReplaceAllString(subject, "x"))
		if strings.HasPrefix(subject, "$KV.") {
			stream = bus.HeartbeatStream
		}
		if stream != c.GetStream() {
			t.Errorf("%s is documented to be stored in %q, the code says %q", name, c.GetStream(), stream)
		}
		if !slices.Contains(made, subject) {
			t.Errorf("%s is documented on %s, which the code never uses", name, subject)
		}
		if len(c.GetPublishers()) == 0 || len(c.GetSubscribers()) == 0 {
			t.Errorf("%s has no publishers or no subscribers", name)
		}
	}
	for _, subject := range made {
		if !documented[subject] {
			t.Errorf("%s has no message with the option channel; those documented: %v", subject, slices.Sorted(maps.Keys(documented)))
		}
	}
}

// eventConstants reads the constants of type Event from the source, so that a new one cannot be forgotten.
func eventConstants(t *testing.T) (all []bus.Event) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "subjects.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Event" {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, bus.Event(value))
		}
		return true
	})
	if len(all) < 10 {
		t.Fatalf("only %d events were found", len(all))
	}
	return all
}
