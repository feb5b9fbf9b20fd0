package httpapi

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/outage"
	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// Responder turns errors into answers and logs those that an operator should see.
type Responder struct{ Log *slog.Logger }

// Fail answers with an error. The text of an error without a sentinel stays in the log.
func (p Responder) Fail(w http.ResponseWriter, r *http.Request, d Dialect, err error) {
	ctx := r.Context()
	if ctx.Err() != nil {
		p.Log.InfoContext(ctx, "client left", "path", r.URL.Path, "err", err)
		return
	}
	var own Answerer
	if errors.As(err, &own) {
		own.Answer(w, r, d)
		return
	}
	if a, ok := lookUp(err); ok {
		if a.status >= http.StatusInternalServerError {
			p.Log.WarnContext(ctx, "request refused", "path", r.URL.Path, "err", err)
		}
		if a.code == "" {
			a.code = rpc.Code(err)
		}
		d.Refuse(w, r, a.status, a.code, d.sentence(a, err))
		return
	}
	if code := rpc.Code(err); code == build.Code(build.ErrUnavailable) { // a deadline, or something that is away
		p.Log.WarnContext(ctx, "dependency unavailable", "path", r.URL.Path, "err", err)
		d.Refuse(w, r, http.StatusServiceUnavailable, code, MsgUnavailable)
		return
	}
	p.Log.ErrorContext(ctx, "request failed", "path", r.URL.Path, "err", err)
	d.Refuse(w, r, http.StatusInternalServerError, build.CodeInternal, MsgInternal)
}

// FailAndDrain is Fail for a request whose body may not have arrived whole. It closes the
// connection, since the rest of the body would be read as the next request.
func (p Responder) FailAndDrain(w http.ResponseWriter, r *http.Request, d Dialect, b *Body, err error) {
	if !b.Ended() {
		w.Header().Set("Connection", "close")
	}
	p.Fail(w, r, d, err)
	b.FlushAndDrain()
}

// Sentence returns the message of an error for people, and its HTTP status.
func Sentence(err error) (sentence string, status int) {
	if a, ok := lookUp(err); ok {
		return V1.sentence(a, err), a.status
	}
	return MsgInternal, http.StatusInternalServerError
}

func lookUp(err error) (answer, bool) {
	if outage.IsDiskFull(err) {
		return answer{build.ErrNoSpace, http.StatusInsufficientStorage, outage.MsgDiskFull, ""}, true
	}
	for _, a := range answers() {
		if errors.Is(err, a.err) {
			return a, true
		}
	}
	return answer{}, false
}
