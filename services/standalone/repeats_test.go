package standalone_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// TestRepeatedLinesOfTheControlPlane: what the outbox publishes again, when the stream has forgotten that it has it, is one line
// for followers and readers of the live log, and for those of its archive.
func TestRepeatedLinesOfTheControlPlane(t *testing.T) {
	cfg := config(t)
	cfg.Artifact.LogSettle = 3 * time.Second
	s := start(t, cfg)
	js := s.forgetful()
	sub, err := s.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Source: project(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the first line is there", func() bool { return len(s.controlMessages(js)) > 0 })
	s.repeat(js, s.controlMessages(js))
	s.fleet(1, fake.Options{})
	numbers := map[int64]string{}
	add := func(l api.LogLine) error {
		numbers[l.Line] = l.Text
		return nil
	}
	if b, err := s.client().Builds.FollowLog(t.Context(), sub.ID, add); err != nil || b.Status != "completed" {
		t.Fatalf("build = %+v, %v", b, err)
	}
	followed := inOrderOf(t, numbers)
	said := map[string]int{}
	for _, text := range followed {
		said[text]++
	}
	if said["Build submitted"] != 1 || said["Build completed successfully"] != 1 {
		t.Errorf("followed: %q", followed)
	}
	all := s.controlMessages(js)
	s.repeat(js, all)
	read := func() []string {
		clear(numbers)
		if err := s.client().Builds.ReadLog(t.Context(), sub.ID, add); err != nil {
			t.Fatal(err)
		}
		return inOrderOf(t, numbers)
	}
	if diff := cmp.Diff(followed, read()); diff != "" {
		t.Errorf("live: -followed +read\n%s", diff)
	}
	s.eventually("the log is archived", func() bool {
		b, err := s.client().Builds.Get(t.Context(), sub.ID)
		return err == nil && b.Log != nil && b.Log.ArchivedAt != ""
	})
	if diff := cmp.Diff(followed, read()); diff != "" {
		t.Errorf("archived: -followed +read\n%s", diff)
	}
	s.repeat(js, all)
	if diff := cmp.Diff(followed, read()); diff != "" {
		t.Errorf("behind the archive: -followed +read\n%s", diff)
	}
}

// inOrderOf returns the lines by number, from 1 without a hole.
func inOrderOf(t *testing.T, numbers map[int64]string) (texts []string) {
	t.Helper()
	for n := int64(1); n <= int64(len(numbers)); n++ {
		text, ok := numbers[n]
		if !ok {
			t.Fatalf("line %d of %d is missing", n, len(numbers))
		}
		texts = append(texts, text)
	}
	return texts
}

// forgetful makes the stream of logs recognize repeats for the shortest time that the server allows.
func (s *server) forgetful() jetstream.JetStream {
	s.t.Helper()
	nc, err := s.Connect()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := bus.JetStream(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := js.Stream(s.t.Context(), bus.LogsStream)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(s.t.Context(), cfg); err != nil {
		s.t.Fatal(err)
	}
	return js
}

// controlMessages are those that the control plane has put into the stream.
func (s *server) controlMessages(js jetstream.JetStream) (msgs []*nats.Msg) {
	s.t.Helper()
	stream, err := js.Stream(s.t.Context(), bus.LogsStream)
	if err != nil {
		s.t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(s.t.Context(), seq)
		if err != nil {
			s.t.Fatal(err)
		}
		if writer, _, _, err := bus.ParseLog(m.Subject); err == nil && writer == bus.System {
			msgs = append(msgs, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		}
	}
	return msgs
}

// repeat publishes messages again, as their outbox does after a crash, once the stream has forgotten their ids.
func (s *server) repeat(js jetstream.JetStream, msgs []*nats.Msg) {
	s.t.Helper()
	for _, m := range msgs {
		s.eventually("the stream stores a repeat", func() bool {
			ack, err := js.PublishMsg(s.t.Context(), m)
			if err != nil {
				s.t.Fatal(err)
			}
			return !ack.Duplicate
		})
	}
}
