package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// upload is one upload under way.
type upload struct {
	transfers *Transfers
	catalog   *catalog.Catalog
	cfg       Config

	row     store.Object
	t       ticket.Ticket
	body    *body
	length  int64 // as announced, -1 unknown
	key     string
	counted bool // by BeginUpload
}

func (s *Transfers) newUpload(row store.Object, t ticket.Ticket, b *body, length int64, key string) *upload {
	return &upload{transfers: s, catalog: s.catalog, cfg: s.cfg, row: row, t: t, body: b, length: length, key: key}
}

// receive stores what a ticket allows, or leaves no bytes. If the transfer breaks, the ticket is still good, since the client may try
// again; bytes that can never be stored end the object. length is -1 when unknown. A second upload to the same object gets the first
// answer if it has the same bytes.
func (s *Transfers) receive(ctx context.Context, t ticket.Ticket, b *body, length int64) (api.Uploaded, error) {
	row, err := s.catalog.Rows.Get(ctx, t.ObjectID)
	switch {
	case err != nil:
		return api.Uploaded{}, err
	case row.HasBytes():
		return s.repeat(row, t, b)
	case row.State != store.Staged:
		return api.Uploaded{}, fmt.Errorf("object %s is %s: %w", row.ID, row.State, store.ErrNotFound)
	}
	u := s.newUpload(row, t, b, length, catalog.NewKey(row))
	if err := u.checkLength(); err != nil {
		return api.Uploaded{}, errors.Join(err, u.giveUp(ctx))
	}
	release, err := s.uploadSlot(ctx)
	if err != nil {
		return api.Uploaded{}, err
	}
	defer release()
	return u.run(ctx)
}

// checkLength refuses an upload by its announced length, before a byte is read.
func (u *upload) checkLength() error {
	k := catalog.KindOf(u.row)
	switch {
	case u.t.Size >= 0 && u.length >= 0 && u.length != u.t.Size:
		return httpx.Refuse(build.ErrInvalid, "the upload has %d bytes, %d were declared", u.length, u.t.Size)
	case u.length > u.t.MaxBytes:
		return catalog.TooLarge(k, u.t.MaxBytes)
	case u.length == 0 && u.mustInspect():
		return httpx.Refuse(build.ErrBadArchive, "the file is empty")
	}
	return nil
}

// uploadSlot waits until fewer than Config.MaxUploads uploads run.
func (s *Transfers) uploadSlot(ctx context.Context) (release func(), err error) {
	wait := time.NewTimer(s.cfg.StallTimeout)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-wait.C:
		return nil, httpx.Refuse(build.ErrUnavailable, "too many uploads at once; try again")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (u *upload) run(ctx context.Context) (api.Uploaded, error) {
	claim, err := u.catalog.Space.Claim(max(u.length, 0))
	if err != nil {
		return api.Uploaded{}, errors.Join(err, u.giveUp(ctx))
	}
	defer claim.Release()
	if err := u.begin(ctx); err != nil {
		return api.Uploaded{}, err
	}
	u.body.onBytes = u.progress(ctx, claim)
	u.body.onHead = u.checkHead
	content, err := u.store(ctx)
	if err != nil {
		return api.Uploaded{}, errors.Join(err, u.catalog.Undo(ctx, u.row, u.key, u.counted, canRetry(err)))
	}
	return u.commit(ctx, content)
}

// begin counts uploads that take long, so that one that fails does not delete the row of another.
func (u *upload) begin(ctx context.Context) error {
	if u.length >= 0 && u.length <= objects.PartSize {
		return nil
	}
	u.counted = true
	return u.catalog.Rows.BeginUpload(ctx, u.row.ID, time.Now().Add(u.catalog.StagedTTL))
}

// progress watches the disk and keeps the row from expiring while bytes arrive.
func (u *upload) progress(ctx context.Context, c *catalog.Claim) func(int64) error {
	extended := time.Now()
	return func(n int64) error {
		if now := time.Now(); now.Sub(extended) > u.catalog.StagedTTL/4 {
			extended = now
			if err := u.catalog.Rows.ExtendUpload(ctx, u.row.ID, now.Add(u.catalog.StagedTTL)); err != nil {
				return err
			}
		}
		return c.Arrived(n)
	}
}

// checkHead ends an upload that cannot be a source at its first bytes.
func (u *upload) checkHead(head []byte) error {
	if !u.mustInspect() {
		return nil
	}
	return catalog.CheckHead(head)
}

// mustInspect reports whether the bytes must be a usable archive.
func (u *upload) mustInspect() bool {
	return catalog.KindOf(u.row) == artifactv1.Kind_KIND_SOURCE && !u.t.AsIs
}

// store puts the bytes into the object store and inspects them.
func (u *upload) store(ctx context.Context) (store.Content, error) {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.StaleUploadAge)
	defer cancel()
	switch {
	case catalog.KindOf(u.row) == artifactv1.Kind_KIND_CERTS:
		return u.storeSealed(ctx)
	case u.length >= 0 && u.length <= api.SmallObject:
		return u.keepSmall(ctx)
	case u.mustInspect() && u.length >= 0 && u.length <= catalog.SmallSource:
		return u.storeSmallSource(ctx)
	case u.mustInspect():
		c, err := u.put(ctx, u.verified(), u.length)
		if err == nil {
			err = u.catalog.InspectStored(ctx, u.key, c.ContentType)
		}
		return c, err
	}
	return u.put(ctx, u.verified(), u.length)
}

// verified returns a reader that ends with an error instead of io.EOF if the bytes are not those declared.
func (u *upload) verified() io.Reader {
	if u.t.SHA256 == "" {
		return u.body
	}
	return &declared{objects.Verify(io.NopCloser(u.body), u.t.SHA256, u.t.Size)}
}

type declared struct{ io.Reader }

func (d *declared) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if errors.Is(err, objects.ErrCorrupt) {
		err = httpx.Because(build.ErrInvalid, err, "the bytes sent are not those declared: size or SHA-256 differs")
	}
	return n, err
}

func (u *upload) put(ctx context.Context, r io.Reader, size int64) (store.Content, error) {
	info, err := u.catalog.Objects.Put(ctx, u.key, r, size, u.t.MaxBytes)
	if err != nil {
		return store.Content{}, u.explain(err)
	}
	return store.Content{Size: info.Size, SHA256: info.SHA256, ContentType: catalog.ContentType(u.body.head)}, nil
}

// explain makes refusals of the errors of a put that the client caused.
func (u *upload) explain(err error) error {
	var r *httpx.Refusal
	switch {
	case errors.As(err, &r):
		return err
	case errors.Is(err, objects.ErrTooLarge):
		return errors.Join(catalog.TooLarge(catalog.KindOf(u.row), u.t.MaxBytes), err)
	case errors.Is(err, objects.ErrSizeMismatch):
		return httpx.Because(problem.ErrCut, err, "the upload was cut off")
	}
	return err
}

// readAll holds a small upload in memory.
func (u *upload) readAll() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(u.verified(), u.t.MaxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > u.t.MaxBytes:
		return nil, catalog.TooLarge(catalog.KindOf(u.row), u.t.MaxBytes)
	}
	return data, nil
}

// storeSmallSource inspects a source that fits into memory before it stores it: one request to the object store instead of three.
func (u *upload) storeSmallSource(ctx context.Context) (store.Content, error) {
	data, err := u.readAll()
	if err != nil {
		return store.Content{}, err
	}
	if err := u.catalog.Inspect(ctx, bytes.NewReader(data), int64(len(data))); err != nil {
		return store.Content{}, err
	}
	return u.put(ctx, bytes.NewReader(data), int64(len(data)))
}

// storeSealed encrypts. Size and SHA-256 are those of the plain bytes, which readers get.
func (u *upload) storeSealed(ctx context.Context) (store.Content, error) {
	plain, err := u.readAll()
	if err != nil {
		return store.Content{}, err
	}
	defer clear(plain)
	sealed, wrapped, err := u.catalog.Box.Seal(plain, u.row.ID)
	if err != nil {
		return store.Content{}, err
	}
	sum := sha256.Sum256(plain)
	c := store.Content{
		Size: int64(len(plain)), SHA256: hex.EncodeToString(sum[:]), ContentType: catalog.ContentType(u.body.head), WrappedKey: wrapped,
	}
	if len(sealed) <= api.SmallObject {
		c.Small, u.key = sealed, ""
		return c, nil
	}
	_, err = u.catalog.Objects.Put(ctx, u.key, bytes.NewReader(sealed), int64(len(sealed)), 0)
	return c, err
}

// commit makes the upload the object's content, unless another one did.
func (u *upload) commit(ctx context.Context, c store.Content) (api.Uploaded, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catalog.SettleTimeout)
	defer cancel()
	err := u.catalog.Commit(ctx, u.row.ID, u.key, c)
	switch {
	case errors.Is(err, store.ErrNotStaged):
		return u.superseded(ctx, c)
	case err != nil:
		// The row may have been written: the bytes must stay. If it was not, the row expires and the bytes with it.
		return api.Uploaded{}, err
	}
	stored := u.row
	stored.Content = c
	u.catalog.NoteStored(ctx, stored)
	return api.Uploaded{ObjectID: u.row.ID, Size: c.Size, SHA256: c.SHA256}, nil
}

// superseded ends an upload that another one, or a discard, overtook.
func (u *upload) superseded(ctx context.Context, c store.Content) (api.Uploaded, error) {
	if row, err := u.catalog.Readable(ctx, u.row.ID); err == nil && row.Key == u.key { // the same pieces, joined by a repeat
		return sameOrConflict(row, c.Size, c.SHA256)
	}
	if u.key != "" {
		if err := u.catalog.Objects.Delete(ctx, u.key); err != nil {
			return api.Uploaded{}, err
		}
	}
	row, err := u.catalog.Readable(ctx, u.row.ID)
	if err != nil {
		return api.Uploaded{}, err
	}
	return sameOrConflict(row, c.Size, c.SHA256)
}

// canRetry reports whether the same bytes may succeed later: after a broken connection, a stopping gateway or an unavailable object
// store, not if they are wrong or too many.
func canRetry(err error) bool {
	err = problem.Translate(err)
	for _, final := range []error{build.ErrInvalid, build.ErrTooLarge, build.ErrBadArchive, build.ErrNoSpace} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// giveUp ends an upload that has not begun.
func (u *upload) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), catalog.SettleTimeout)
	defer cancel()
	return u.catalog.Rows.GiveUp(ctx, u.row.ID, u.counted)
}

// repeat answers an upload to an object that has its bytes: the first answer was lost, or it is another file.
func (s *Transfers) repeat(row store.Object, t ticket.Ticket, b *body) (api.Uploaded, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(b, t.MaxBytes+1))
	if err != nil {
		return api.Uploaded{}, err
	}
	return sameOrConflict(row, n, hex.EncodeToString(h.Sum(nil)))
}

func sameOrConflict(row store.Object, size int64, sum string) (api.Uploaded, error) {
	if row.Size != size || row.SHA256 != sum {
		return api.Uploaded{}, httpx.Refuse(problem.ErrExists, "other bytes were uploaded with this ticket before")
	}
	return api.Uploaded{ObjectID: row.ID, Size: size, SHA256: sum}, nil
}

// keepSmall reads and inspects an upload that fits into a row.
func (u *upload) keepSmall(ctx context.Context) (store.Content, error) {
	data, err := u.readAll()
	if err == nil && u.mustInspect() {
		err = u.catalog.Inspect(ctx, bytes.NewReader(data), int64(len(data)))
	}
	if err == nil && int64(len(data)) != u.length {
		err = httpx.Because(problem.ErrCut, io.ErrUnexpectedEOF, "the upload was cut off")
	}
	if err != nil {
		return store.Content{}, err
	}
	u.key = ""
	return catalog.SmallContent(data), nil
}
