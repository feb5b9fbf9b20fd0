package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/store"
	"github.com/expo-free-agent/freeagent/shared/backoff"
	"github.com/expo-free-agent/freeagent/shared/text"
	"github.com/expo-free-agent/freeagent/shared/version"
)

const (
	// sendRound is the interval of rounds without a wake-up, for deliveries that are due again.
	sendRound = time.Second
	// maxPerWebhook bounds the concurrent deliveries per webhook and gateway, maxDeliveries those
	// per gateway.
	maxPerWebhook = 4
	maxDeliveries = 128
	// claimMargin is how much longer than its timeout a delivery is claimed.
	claimMargin = 2 * time.Second
	// maxResponse bounds how much of a response is read, maxExcerpt how much of it an error
	// contains.
	maxResponse, maxExcerpt = 64 << 10, 200
	// recordTimeout bounds the recording of an attempt, which also happens while the gateway stops.
	recordTimeout = 5 * time.Second
	// keepDelivered and keepDead are how long deliveries are kept.
	keepDelivered, keepDead = 7 * 24 * time.Hour, 30 * 24 * time.Hour
)

// sendLoop sends due deliveries until ctx ends, and waits for those in flight.
func (s *Service) sendLoop(ctx context.Context) error {
	defer s.running.Wait()
	return backoff.Loop{Doing: "send due deliveries", Every: sendRound, Wake: s.wake.C(), AtOnce: true, Log: s.log}.Run(ctx, s.sendDue)
}

// sendDue starts due deliveries, as many as each webhook has capacity for.
func (s *Service) sendDue(ctx context.Context) error {
	now := time.Now()
	due, err := s.store.DueWebhooks(ctx, now)
	if err != nil {
		return err
	}
	for _, w := range due {
		free := s.capacity(w.ID)
		if free == 0 {
			continue
		}
		taken, err := s.store.ClaimDeliveries(ctx, w.ID, now, now.Add(s.cfg.Timeout+claimMargin), free)
		if err != nil {
			return err
		}
		for _, d := range taken {
			s.start(w.ID)
			go func() { // sendLoop waits for it
				defer s.finish(w.ID)
				s.deliver(ctx, w, d)
			}()
		}
	}
	return nil
}

func (s *Service) capacity(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for _, n := range s.inFlight {
		all += n
	}
	return max(0, min(maxPerWebhook-s.inFlight[id], maxDeliveries-all))
}

func (s *Service) start(id string) {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight[id]++
}

func (s *Service) finish(id string) {
	s.mu.Lock()
	if s.inFlight[id]--; s.inFlight[id] == 0 {
		delete(s.inFlight, id)
	}
	s.mu.Unlock()
	s.Wake()
	s.running.Done()
}

// deliver makes one attempt and records it. A gateway that stops in the meantime records nothing:
// the delivery becomes due again.
func (s *Service) deliver(ctx context.Context, w store.Webhook, d store.Delivery) {
	begin := time.Now()
	status, err := s.post(ctx, w, d)
	if err != nil && ctx.Err() != nil {
		return
	}
	a := store.DeliveryAttempt{At: begin, Status: status, Took: time.Since(begin)}
	state, next := store.Delivered, time.Time{}
	if err != nil {
		a.Error = err.Error()
		state, next = store.Pending, time.Now().Add(s.backoff(d.Attempts))
		if d.Attempts >= s.cfg.Attempts {
			state = store.Dead
		}
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	failing, err := s.store.RecordAttempt(record, w, d, a, state, next)
	if err != nil {
		s.log.WarnContext(ctx, "record webhook attempt failed", "webhook_id", w.ID, "delivery_id", d.ID, "err", err)
		return
	}
	if state != store.Delivered {
		s.log.InfoContext(ctx, "webhook delivery failed", "webhook_id", w.ID, "delivery_id", d.ID, "attempt", d.Attempts, "status", status,
			"state", state, "reason", a.Error)
		s.disableIfGone(record, w, a, failing)
	}
}

// disableIfGone disables a webhook whose receiver answered 410, or that has failed for longer than
// Config.DisableAfter.
func (s *Service) disableIfGone(ctx context.Context, w store.Webhook, a store.DeliveryAttempt, failing time.Time) {
	reason := ""
	switch {
	case a.Status == http.StatusGone:
		reason = "the receiver answered 410 Gone"
	case !failing.IsZero() && time.Since(failing) > s.cfg.DisableAfter:
		reason = fmt.Sprintf("no delivery has succeeded since %s. Last error: %s", failing.Format(time.RFC3339), a.Error)
	default:
		return
	}
	disabled, err := s.store.DisableWebhook(ctx, w, reason)
	if err != nil {
		s.log.WarnContext(ctx, "disable webhook failed", "webhook_id", w.ID, "err", err)
		return
	}
	if disabled {
		s.log.WarnContext(ctx, "webhook disabled", "webhook_id", w.ID, "reason", reason)
	}
}

// backoff returns the delay after so many attempts: doubled each time up to the limit, less a
// random third, so that deliveries that failed together are not repeated together.
func (s *Service) backoff(tries int) time.Duration {
	d := min(s.cfg.Backoff<<min(tries-1, 20), s.cfg.MaxBackoff)
	return d - rand.N(d/3+1)
}

// errRefused means that the receiver answered with an error.
var errRefused = errors.New("answer")

// post sends a delivery. The error never holds the webhook's URL, which may be a secret itself.
func (s *Service) post(ctx context.Context, w store.Webhook, d store.Delivery) (status int, err error) {
	secret, err := s.unseal(w.ID, w.Secret)
	if err != nil {
		return 0, err
	}
	f := Format(w.Format)
	req, err := s.delivery(ctx, w, d)
	if err != nil {
		return 0, err
	}
	Sign(req.Header, f, d.ID, secret, []byte(d.Body), time.Now())
	resp, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", s.cfg.Timeout) // for people
		}
		return 0, err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponse)) // what is there is enough
	if !f.Accepted(resp.StatusCode) {
		return resp.StatusCode, fmt.Errorf("%w %s: %s", errRefused, resp.Status, excerpt(answer))
	}
	return resp.StatusCode, nil
}

// delivery returns the unsigned request.
func (s *Service) delivery(ctx context.Context, w store.Webhook, d store.Delivery) (*http.Request, error) {
	f, target := Format(w.Format), w.URL
	if d.Path != "" {
		target = strings.TrimSuffix(target, "/") + d.Path
	}
	method, body := Method(f, d.Event), io.Reader(nil)
	if method == http.MethodPost {
		body = strings.NewReader(d.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, errors.New("invalid webhook URL") // the cause would quote it
	}
	if body != nil {
		req.Header.Set("Content-Type", f.ContentType())
	}
	req.Header.Set("User-Agent", "freeagent/"+version.Version)
	req.Header.Set(EventHeader, d.Event)
	if f == GitHub {
		token, err := s.unseal(tokenSealID(w.ID), w.Token)
		if err != nil {
			return nil, err
		}
		Authorize(req.Header, token)
	}
	return req, nil
}

// excerpt returns the beginning of a response as one printable line.
func excerpt(answer []byte) string {
	return strings.TrimSpace(text.Cut(text.Line(string(answer)), maxExcerpt))
}

// sweepLoop deletes old deliveries.
func (s *Service) sweepLoop(ctx context.Context) error {
	return backoff.Loop{Doing: "sweep deliveries", Every: time.Hour, AtOnce: true, Log: s.log}.Run(ctx, func(ctx context.Context) error {
		now := time.Now()
		return s.store.SweepDeliveries(ctx, now.Add(-keepDelivered), now.Add(-keepDead))
	})
}
