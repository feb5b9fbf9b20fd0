package embedbus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

func TestExplore(t *testing.T) {
	b := setup(t)
	nc := b.worker("w1")
	spy := make(chan *nats.Msg, 100)
	b.services.ChanSubscribe("fa.control.w2", spy)
	b.services.Flush()
	send := func(subj, reply string, data string) {
		m := nats.NewMsg(subj)
		m.Reply = reply
		m.Data = []byte(data)
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		nc.Flush()
	}
	b.services.Subscribe(bus.WorkerRequestSubject("scheduler", "claim", "*"), func(m *nats.Msg) { _ = m.Respond([]byte("ok")) })
	b.services.Flush()
	send("fa.scheduler.claim.w1", "fa.queue.default.ios.evil.1", "")
	send(bus.LogSubject("w1", "b1", 1), bus.KeySubject(bus.WorkerKey("w2")), "x")
	send(bus.LogSubject("w1", "b1", 1), "fa.builds.b9.completed", "x")
	send("$JS.API.CONSUMER.MSG.NEXT.BUILD_QUEUE.default-ios", "fa.control.w2", `{"batch":1,"expires":1000000000}`)
	send("$JS.API.CONSUMER.INFO.BUILD_QUEUE.default-ios", "fa.control.w2", ``)
	time.Sleep(time.Second)
	for _, s := range []string{bus.QueueStream, bus.HeartbeatStream, bus.EventsStream, bus.LogsStream} {
		st, _ := b.js.Stream(t.Context(), s)
		in, err := st.Info(t.Context())
		t.Log(s, in.State.Msgs, err)
	}
	for len(spy) > 0 {
		m := <-spy
		t.Log("spy", m.Subject, m.Header, string(m.Data), m.Reply)
	}
	for len(b.denied) > 0 {
		t.Log(<-b.denied)
	}
}
