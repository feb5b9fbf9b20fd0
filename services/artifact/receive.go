package artifact

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
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// settleTimeout bounds what must be done after the bytes have arrived or failed, whoever still listens.
const settleTimeout = 15 * time.Second

// incoming is one upload under way.
type incoming struct {
	s       *Service
	row     store.Object
	t       ticket.Ticket
	body    *body
	length  int64 // as announced, -1 unknown
	key     string
	counted bool // by rows.BeginUpload
}

// receive stores what a ticket allows, or leaves no bytes. After what broke on the way the ticket is still good, since whoever
// sends may well try again; what can never be stored ends the object. length is -1 when unknown. A second upload to the same object
// gets the first one's answer if it brings the same bytes.
func (s *Service) receive(ctx context.Context, t ticket.Ticket, b *body, length int64) (api.Uploaded, error) {
	row, err := s.rows.Get(ctx, t.ObjectID)
	switch {
	case err != nil:
		return api.Uploaded{}, err
	case row.HasBytes():
		return s.repeat(row, t, b)
	case row.State != store.Staged:
		return api.Uploaded{}, fmt.Errorf("object %s is %s: %w", row.ID, row.State, store.ErrNotFound)
	}
	u := &incoming{s: s, row: row, t: t, body: b, length: length, key: newKey(row)}
	if err := u.announced(); err != nil {
		return api.Uploaded{}, errors.Join(err, u.giveUp(ctx))
	}
	release, err := s.uploadSlot(ctx)
	if err != nil {
		return api.Uploaded{}, err
	}
	defer release()
	return u.run(ctx)
}

// announced judges an upload by what it says of itself, before a byte is read.
func (u *incoming) announced() error {
	k := kindOf(u.row)
	switch {
	case u.t.Size >= 0 && u.length >= 0 && u.length != u.t.Size:
		return refuse(build.ErrInvalid, "the upload has %d bytes, %d were declared", u.length, u.t.Size)
	case u.length > u.t.MaxBytes:
		return tooLarge(k, u.t.MaxBytes)
	case u.length == 0 && u.judged():
		return refuse(build.ErrBadArchive, "the file is empty")
	}
	return nil
}

func tooLarge(k artifactv1.Kind, limit int64) error {
	return refuse(build.ErrTooLarge, "the %s is larger than the limit of %s", kindWord(k), megabytes(limit))
}

// uploadSlot waits for one of the buffers' places.
func (s *Service) uploadSlot(ctx context.Context) (release func(), err error) {
	wait := time.NewTimer(s.cfg.StallTimeout)
	defer wait.Stop()
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-wait.C:
		return nil, refuse(build.ErrUnavailable, "too many uploads at once; try again")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (u *incoming) run(ctx context.Context) (api.Uploaded, error) {
	claim, err := u.s.space.claim(max(u.length, 0))
	if err != nil {
		return api.Uploaded{}, errors.Join(err, u.giveUp(ctx))
	}
	defer claim.release()
	if err := u.begin(ctx); err != nil {
		return api.Uploaded{}, err
	}
	u.body.arrived = u.progress(ctx, claim)
	u.body.sniffed = u.plausible
	content, err := u.store(ctx)
	if err != nil {
		return api.Uploaded{}, errors.Join(err, u.undo(ctx, mayComeAgain(err)))
	}
	return u.commit(ctx, content)
}

// begin counts uploads that take long, so that one which fails does not take the row from under another.
func (u *incoming) begin(ctx context.Context) error {
	if u.length >= 0 && u.length <= objects.PartSize {
		return nil
	}
	u.counted = true
	return u.s.rows.BeginUpload(ctx, u.row.ID, u.s.now().Add(u.s.cfg.StagedTTL))
}

// progress watches the disk and keeps the row from expiring while bytes arrive.
func (u *incoming) progress(ctx context.Context, c *claim) func(int64) error {
	extended := u.s.now()
	return func(n int64) error {
		if now := u.s.now(); now.Sub(extended) > u.s.cfg.StagedTTL/4 {
			extended = now
			if err := u.s.rows.ExtendUpload(ctx, u.row.ID, now.Add(u.s.cfg.StagedTTL)); err != nil {
				return err
			}
		}
		return c.arrived(n)
	}
}

// plausible ends an upload that cannot be a source at its first bytes.
func (u *incoming) plausible(head []byte) error {
	if !u.judged() {
		return nil
	}
	return sourceHead(head)
}

// judged says that the bytes must be a usable archive.
func (u *incoming) judged() bool { return kindOf(u.row) == artifactv1.Kind_KIND_SOURCE && !u.t.AsIs }

// store puts the bytes into the object store and judges them.
func (u *incoming) store(ctx context.Context) (store.Content, error) {
	ctx, cancel := context.WithTimeout(ctx, u.s.cfg.StaleUploadAge)
	defer cancel()
	switch {
	case kindOf(u.row) == artifactv1.Kind_KIND_CERTS:
		return u.storeSealed(ctx)
	case u.length >= 0 && u.length <= api.SmallObject:
		return u.keepSmall(ctx)
	case u.judged() && u.length >= 0 && u.length <= smallSource:
		return u.storeSmallSource(ctx)
	case u.judged():
		c, err := u.put(ctx, u.verified(), u.length)
		if err == nil {
			err = u.s.inspectStored(ctx, u.key, c)
		}
		return c, err
	}
	return u.put(ctx, u.verified(), u.length)
}

// verified ends with an error instead of io.EOF when the bytes are not those declared.
func (u *incoming) verified() io.Reader {
	if u.t.SHA256 == "" {
		return u.body
	}
	return &declared{objects.Verify(io.NopCloser(u.body), u.t.SHA256, u.t.Size)}
}

type declared struct{ io.Reader }

func (d *declared) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if errors.Is(err, objects.ErrCorrupt) {
		err = because(build.ErrInvalid, err, "the bytes sent are not those declared: size or SHA-256 differs")
	}
	return n, err
}

func (u *incoming) put(ctx context.Context, r io.Reader, size int64) (store.Content, error) {
	info, err := u.s.objects.Put(ctx, u.key, r, size, u.t.MaxBytes)
	if err != nil {
		return store.Content{}, u.explain(err)
	}
	return store.Content{Size: info.Size, SHA256: info.SHA256, ContentType: contentType(u.body.head)}, nil
}

// explain returns the errors of a put that the client caused their sentence.
func (u *incoming) explain(err error) error {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return err
	case errors.Is(err, objects.ErrTooLarge):
		return errors.Join(tooLarge(kindOf(u.row), u.t.MaxBytes), err)
	case errors.Is(err, objects.ErrSizeMismatch):
		return because(errCut, err, "the upload was cut off")
	}
	return err
}

// readAll holds a small upload in memory.
func (u *incoming) readAll() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(u.verified(), u.t.MaxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > u.t.MaxBytes:
		return nil, tooLarge(kindOf(u.row), u.t.MaxBytes)
	}
	return data, nil
}

// storeSmallSource judges what fits into memory before it is stored: one request to the object store instead of three.
func (u *incoming) storeSmallSource(ctx context.Context) (store.Content, error) {
	data, err := u.readAll()
	if err != nil {
		return store.Content{}, err
	}
	if err := u.s.inspect(ctx, bytes.NewReader(data), int64(len(data))); err != nil {
		return store.Content{}, err
	}
	return u.put(ctx, bytes.NewReader(data), int64(len(data)))
}

// storeSealed encrypts. Size and SHA-256 are those of the plain bytes, which is what readers get.
func (u *incoming) storeSealed(ctx context.Context) (store.Content, error) {
	plain, err := u.readAll()
	if err != nil {
		return store.Content{}, err
	}
	defer clear(plain)
	sealed, wrapped, err := u.s.box.Seal(plain, u.row.ID)
	if err != nil {
		return store.Content{}, err
	}
	sum := sha256.Sum256(plain)
	c := store.Content{
		Size: int64(len(plain)), SHA256: hex.EncodeToString(sum[:]), ContentType: contentType(u.body.head), WrappedKey: wrapped,
	}
	if len(sealed) <= api.SmallObject {
		c.Small, u.key = sealed, ""
		return c, nil
	}
	_, err = u.s.objects.Put(ctx, u.key, bytes.NewReader(sealed), int64(len(sealed)), 0)
	return c, err
}

// commit makes the upload the object's content, unless another one did.
func (u *incoming) commit(ctx context.Context, c store.Content) (api.Uploaded, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	now := u.s.now()
	err := u.s.rows.Commit(ctx, u.row.ID, u.key, c, now, now.Add(u.s.cfg.StagedTTL))
	switch {
	case errors.Is(err, store.ErrNotStaged):
		return u.lost(ctx, c)
	case err != nil:
		// It may have been written: the bytes must stay. If it was not, the row expires and takes them along.
		return api.Uploaded{}, err
	}
	stored := u.row
	stored.Content = c
	u.s.noteStored(ctx, stored)
	return api.Uploaded{ObjectID: u.row.ID, Size: c.Size, SHA256: c.SHA256}, nil
}

func (s *Service) noteStored(ctx context.Context, o store.Object) {
	s.meter.stored.Add(ctx, 1)
	s.meter.storedBytes.Add(ctx, o.Size)
	s.log.InfoContext(ctx, "object stored", "object_id", o.ID, "build_id", o.BuildID,
		"kind", kindWord(kindOf(o)), "size", o.Size, "sha256", o.SHA256)
}

// lost ends an upload that another one, or a discard, overtook.
func (u *incoming) lost(ctx context.Context, c store.Content) (api.Uploaded, error) {
	if row, err := u.s.readable(ctx, u.row.ID); err == nil && row.Key == u.key { // the same pieces, joined by a repeat
		return sameOrConflict(row, c.Size, c.SHA256)
	}
	if u.key != "" {
		if err := u.s.objects.Delete(ctx, u.key); err != nil {
			return api.Uploaded{}, err
		}
	}
	row, err := u.s.readable(ctx, u.row.ID)
	if err != nil {
		return api.Uploaded{}, err
	}
	return sameOrConflict(row, c.Size, c.SHA256)
}

func (u *incoming) undo(ctx context.Context, keep bool) error {
	return u.s.undo(ctx, u.row, u.key, u.counted, keep)
}

// mayComeAgain tells a broken line, a stopping gateway or an object store that is away from bytes that are wrong or too many.
func mayComeAgain(err error) bool {
	err = translate(err)
	for _, final := range []error{build.ErrInvalid, build.ErrTooLarge, build.ErrBadArchive, build.ErrNoSpace} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// undo removes what a failed upload may have left. The row goes last, and only if the key is gone for certain: as long as
// it is there the janitor finds the key. With keep the row stays for another try, until it expires.
func (s *Service) undo(ctx context.Context, row store.Object, key string, counted, keep bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if key != "" {
		if err := s.objects.Delete(ctx, key); err != nil {
			return err
		}
	}
	if keep {
		return s.rows.EndUpload(ctx, row.ID, counted)
	}
	return s.rows.GiveUp(ctx, row.ID, counted)
}

// giveUp ends an upload that has not begun.
func (u *incoming) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return u.s.rows.GiveUp(ctx, u.row.ID, u.counted)
}

// repeat answers an upload to an object that has its bytes: the first answer was lost on its way, or it is another file.
func (s *Service) repeat(row store.Object, t ticket.Ticket, b *body) (api.Uploaded, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(b, t.MaxBytes+1))
	if err != nil {
		return api.Uploaded{}, err
	}
	return sameOrConflict(row, n, hex.EncodeToString(h.Sum(nil)))
}

func sameOrConflict(row store.Object, size int64, sum string) (api.Uploaded, error) {
	if row.Size != size || row.SHA256 != sum {
		return api.Uploaded{}, refuse(errExists, "other bytes were uploaded with this ticket before")
	}
	return api.Uploaded{ObjectID: row.ID, Size: size, SHA256: sum}, nil
}
