package bus_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// TestDecodeCleansText: in strings, lists, maps and messages below; bytes stay as they are.
func TestDecodeCleansText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, out, want proto.Message }{
		{
			&schedulerv1.RegisterWorkerRequest{Name: "m\x00c", Platforms: []string{"i\x00s"}, Labels: map[string]string{"k\x00": "v", "l": "\x00", "m": "x"}},
			&schedulerv1.RegisterWorkerRequest{},
			&schedulerv1.RegisterWorkerRequest{Name: "m\uFFFDc", Platforms: []string{"i\uFFFDs"}, Labels: map[string]string{"k\uFFFD": "v", "l": "\uFFFD", "m": "x"}},
		},
		{
			&eventsv1.LogChunk{Lines: []*eventsv1.LogLine{{Text: "a\x00"}, {Text: "b"}}}, &eventsv1.LogChunk{},
			&eventsv1.LogChunk{Lines: []*eventsv1.LogLine{{Text: "a\uFFFD"}, {Text: "b"}}},
		},
	} {
		data, err := proto.Marshal(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.Decode(data, tt.out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, tt.out, protocmp.Transform()); diff != "" {
			t.Errorf("Decode (-want +got):\n%s", diff)
		}
	}
}
