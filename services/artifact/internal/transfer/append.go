package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// serveHead describes an object to a client that may read it, and tells one that may write it how far its upload is.
func (s *Transfers) serveHead(w http.ResponseWriter, r *http.Request) error {
	_, row, err := s.appendable(r)
	if errors.Is(err, ticket.ErrInvalid) {
		return s.serveGet(w, r)
	}
	if err != nil {
		return err
	}
	stands, complete := row.Pieces.Received, api.Incomplete
	if row.HasBytes() {
		stands, complete = row.Size, api.Complete
	}
	h := w.Header()
	h.Set(api.OffsetHeader, strconv.FormatInt(stands, 10))
	h.Set(api.CompleteHeader, complete)
	h.Set(api.LimitHeader, fmt.Sprintf("min-append-size=%d", api.AppendBytes))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// appendable returns what a ticket may append to. A ticket that has expired is still good for an upload that began in time:
// the row's own expiry, which moves with every piece, bounds that.
func (s *Transfers) appendable(r *http.Request) (ticket.Ticket, store.Object, error) {
	t, late := s.tickets.Verify(r.Header.Get(api.TicketHeader), ticket.Put, time.Now())
	if late != nil && !errors.Is(late, ticket.ErrExpired) {
		return t, store.Object{}, late
	}
	row, err := s.catalog.Rows.Get(r.Context(), t.ObjectID)
	switch {
	case err != nil:
		return t, row, err
	case late != nil && row.Pieces.UploadID == "" && !row.HasBytes():
		return t, row, late
	case row.State == store.Condemned:
		return t, row, fmt.Errorf("object %s is %s: %w", row.ID, row.State, store.ErrNotFound)
	}
	return t, row, nil
}

// serveAppend stores the next bytes of an upload.
func (s *Transfers) serveAppend(w http.ResponseWriter, r *http.Request) error {
	t, row, err := s.appendable(r)
	if err != nil {
		return err
	}
	offset, last, err := position(r.Header)
	if err != nil {
		return err
	}
	ctx, ctl := r.Context(), http.NewResponseController(w)
	// The service's stop must not wait for bytes that may never come.
	defer context.AfterFunc(ctx, func() { _ = ctl.SetReadDeadline(time.Now()) })()
	b := newBody(w, r, s.cfg.StallTimeout)
	defer b.close()
	u := s.newUpload(row, t, b, r.ContentLength, row.Key)
	done, err := u.appendAt(ctx, offset, last)
	if errors.Is(err, problem.ErrOffset) || errors.Is(err, store.ErrMoved) {
		if now, gerr := s.catalog.Rows.Get(ctx, row.ID); gerr == nil {
			w.Header().Set(api.OffsetHeader, strconv.FormatInt(now.Pieces.Received, 10))
		}
	}
	if err != nil {
		return errors.Join(err, u.abandon(ctx, err))
	}
	if !last {
		w.Header().Set(api.OffsetHeader, strconv.FormatInt(u.row.Pieces.Received, 10))
		w.Header().Set(api.CompleteHeader, api.Incomplete)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set(api.OffsetHeader, strconv.FormatInt(done.Size, 10))
	w.Header().Set(api.CompleteHeader, api.Complete)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done) // a client that misses the answer repeats the request and gets the same
	return nil
}

// position reads where an append starts and whether it is the last.
func position(h http.Header) (offset int64, last bool, err error) {
	offset, err = strconv.ParseInt(h.Get(api.OffsetHeader), 10, 64)
	if err != nil || offset < 0 {
		return 0, false, httpx.Refuse(build.ErrInvalid, "%s %.40q is not a number of bytes", api.OffsetHeader, h.Get(api.OffsetHeader))
	}
	switch h.Get(api.CompleteHeader) {
	case api.Complete:
		return offset, true, nil
	case api.Incomplete, "":
		return offset, false, nil
	}
	return 0, false, httpx.Refuse(build.ErrInvalid, "%s %.40q is neither %s nor %s",
		api.CompleteHeader, h.Get(api.CompleteHeader), api.Complete, api.Incomplete)
}

// appendAt stores the body of a request at offset. Whole pieces stay, whatever becomes of the request.
func (u *upload) appendAt(ctx context.Context, offset int64, last bool) (api.Uploaded, error) {
	switch {
	case u.row.HasBytes():
		return u.repeatedLast(offset, last)
	case catalog.KindOf(u.row) == artifactv1.Kind_KIND_CERTS:
		return api.Uploaded{}, httpx.Refuse(build.ErrInvalid, "certs are uploaded in one request")
	case offset == 0 && last && u.row.Pieces.UploadID == "":
		return u.transfers.receive(ctx, u.t, u.body, u.length)
	case offset != u.row.Pieces.Received:
		return api.Uploaded{}, httpx.Refuse(problem.ErrOffset, "the upload is at byte %d, not %d", u.row.Pieces.Received, offset)
	case u.length >= 0 && offset+u.length > u.t.MaxBytes:
		return api.Uploaded{}, catalog.TooLarge(catalog.KindOf(u.row), u.t.MaxBytes)
	case time.Now().After(u.row.CreatedAt.Add(u.cfg.StaleUploadAge)):
		return api.Uploaded{}, httpx.Refuse(build.ErrInvalid, "the upload took longer than %s; begin a new one", u.cfg.StaleUploadAge)
	}
	release, err := u.transfers.uploadSlot(ctx)
	if err != nil {
		return api.Uploaded{}, err
	}
	defer release()
	return u.storePieces(ctx, last)
}

// repeatedLast answers the repeat of a last append whose answer was lost.
func (u *upload) repeatedLast(offset int64, last bool) (api.Uploaded, error) {
	row := u.row
	if !last || offset != row.Size && offset+u.length != row.Size {
		return api.Uploaded{}, httpx.Refuse(problem.ErrExists, "the upload was completed before, with %d bytes", row.Size)
	}
	return api.Uploaded{ObjectID: row.ID, Size: row.Size, SHA256: row.SHA256}, nil
}

// abandon removes an upload that can never be stored. One that broke stays: the client resumes it, or it expires.
func (u *upload) abandon(ctx context.Context, err error) error {
	if u.row.Pieces.UploadID == "" || !hopeless(problem.Translate(err)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catalog.SettleTimeout)
	defer cancel()
	return u.catalog.Discard(ctx, u.row.ID)
}

func hopeless(err error) bool {
	for _, sentinel := range []error{
		build.ErrTooLarge, build.ErrBadArchive, build.ErrInvalid, build.ErrObjectCorrupt, build.ErrNoSpace, build.ErrObjectNotFound,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
