package v2

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go/jetstream"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// events streams a build as server-sent events: "build" at first and after each change, "end" with
// the final build. A client that reconnects gets the present state first, so there is nothing to
// resume.
func (h builds) events(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if _, err := h.Farm.Build(r.Context(), id); err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	leave, err := h.admitFollower()
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.Stopping, cancel)()
	t, err := bus.OpenTail(ctx, h.JS, bus.TailConfig{
		Stream: bus.EventsStream, Subject: bus.BuildSubjectsOf(id), Policy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	defer t.Close(ctx)
	out := httpapi.OpenSSE(w)
	defer out.Close()
	if err := h.sendEvents(ctx, out, t, id); err != nil && ctx.Err() == nil {
		h.Log.InfoContext(ctx, "stream of build events broken", "build_id", id, "err", err)
		panic(http.ErrAbortHandler) // the client comes back
	}
}

// admitFollower acquires a place of the semaphore followers. It returns httpapi.ErrTooMany if all
// are taken.
func (h *API) admitFollower() (leave func(), err error) {
	select {
	case h.followers <- struct{}{}:
		return func() { <-h.followers }, nil
	default:
		return nil, httpx.Refuse(httpapi.ErrTooMany, "The server has reached its limit of %d clients that follow logs or builds. Try again in a few seconds", h.MaxFollowers)
	}
}

// sendEvents reads the build after the consumer exists, so that it misses no event in between.
func (h builds) sendEvents(ctx context.Context, out *httpapi.SSE, t *bus.Tail, id string) error {
	for seq := ""; ; {
		resp, err := h.Farm.BuildWithAttempts(ctx, id)
		if err != nil {
			return err
		}
		ended, err := sendBuild(out, seq, resp)
		if err != nil || ended {
			return err
		}
		if seq, err = h.awaitEvent(ctx, out, t, id); err != nil {
			return err
		}
	}
}

func sendBuild(out *httpapi.SSE, seq string, resp *schedulerv1.GetResponse) (ended bool, err error) {
	name := "build"
	if ended = build.State(resp.GetBuild().GetState()).Final(); ended {
		name = "end"
	}
	return ended, errors.Join(out.Event(name, seq, View(resp.GetBuild(), resp.GetAttempts())), out.Flush())
}

// awaitEvent waits for the next event of the build and returns its sequence. While there is none it
// sends comments and checks whether the build has ended: the event may be lost with a stream.
func (h builds) awaitEvent(ctx context.Context, out *httpapi.SSE, t *bus.Tail, id string) (seq string, err error) {
	for {
		m, err := t.Next(ctx, h.FollowHeartbeat)
		if err == nil {
			md, err := m.Metadata()
			if err != nil {
				return "", err
			}
			return strconv.FormatUint(md.Sequence.Stream, 10), nil
		}
		if !bus.Quiet(ctx, err) {
			return "", err
		}
		if err := errors.Join(out.Comment("still here"), out.Flush()); err != nil {
			return "", err
		}
		if b, err := h.Farm.Build(ctx, id); err == nil && build.State(b.GetState()).Final() {
			return "", nil
		}
	}
}
