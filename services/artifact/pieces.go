package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// An append's pieces are the object store's.
const _ = uint(api.AppendBytes-objects.PartSize) * uint(objects.PartSize-api.AppendBytes)

//nolint:gochecknoglobals // a pool is shared by its nature
var pieceBuffers = sync.Pool{New: func() any { b := make([]byte, objects.PartSize); return &b }}

func piecedOf(o store.Object) objects.Pieced {
	return objects.Pieced{Key: o.Key, ID: o.Pieces.UploadID}
}

// takePieces stores the body piece by piece. What is no whole piece is forgotten unless it is the last: the client hears how
// much was kept.
func (u *incoming) takePieces(ctx context.Context, last bool) (api.Uploaded, error) {
	claim, err := u.s.space.claim(max(u.length, 0))
	if err != nil {
		return api.Uploaded{}, err
	}
	defer claim.release()
	u.body.arrived = u.progress(ctx, claim)
	if u.row.Pieces.Received == 0 {
		u.body.sniffed = u.plausible
	}
	sum, err := u.resumeHash()
	if err != nil {
		return api.Uploaded{}, err
	}
	buf := pieceBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer pieceBuffers.Put(buf)
	for ended := false; !ended; {
		var n int
		if n, err = fillPiece(u.body, *buf); err != nil && !errors.Is(err, io.EOF) {
			return api.Uploaded{}, err
		}
		ended = err != nil
		if n < len(*buf) && !last || n == 0 {
			continue // the end, see fillPiece
		}
		if err := u.keepPiece(ctx, (*buf)[:n], sum); err != nil {
			return api.Uploaded{}, err
		}
	}
	if !last {
		return api.Uploaded{}, nil
	}
	return u.join(ctx, hex.EncodeToString(sum.Sum(nil)))
}

// fillPiece reads until buf is full or the body ends: with less than a whole piece comes io.EOF.
func fillPiece(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

func (u *incoming) resumeHash() (hash.Hash, error) {
	h := sha256.New()
	state := u.row.Pieces.HashState
	if len(state) == 0 {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil { //nolint:forcetypeassert // documented of SHA-256
		return nil, fmt.Errorf("state of the hash of object %s: %w", u.row.ID, err)
	}
	return h, nil
}

// keepPiece stores one piece and then says so in the row: a crash between costs the piece, which is then sent again.
func (u *incoming) keepPiece(ctx context.Context, data []byte, sum hash.Hash) error {
	was := u.row.Pieces
	if was.Received+int64(len(data)) > u.t.MaxBytes {
		return tooLarge(kindOf(u.row), u.t.MaxBytes)
	}
	if was.UploadID == "" {
		if err := u.beginPieces(ctx); err != nil {
			return err
		}
	}
	name, err := u.s.objects.PutPiece(ctx, piecedOf(u.row), len(was.Names)+1, data)
	if err != nil {
		return err
	}
	sum.Write(data)
	now := u.row.Pieces
	now.Names = append(slices.Clone(was.Names), name)
	now.Received += int64(len(data))
	if now.HashState, err = sum.(encoding.BinaryMarshaler).MarshalBinary(); err != nil { //nolint:forcetypeassert // documented of SHA-256
		return fmt.Errorf("state of a hash: %w", err)
	}
	if err := u.s.rows.Advance(ctx, u.row.ID, now, was.Received, u.s.now().Add(u.s.cfg.StagedTTL)); err != nil {
		return err
	}
	u.row.Pieces = now
	return nil
}

func (u *incoming) beginPieces(ctx context.Context) error {
	p, err := u.s.objects.BeginPieces(ctx, newKey(u.row))
	if err != nil {
		return err
	}
	if err := u.s.rows.BeginPieces(ctx, u.row.ID, p.Key, p.ID, u.s.now().Add(u.s.cfg.StagedTTL)); err != nil {
		return errors.Join(err, u.s.objects.DropPieces(context.WithoutCancel(ctx), p))
	}
	u.key, u.row.Key, u.row.Pieces.UploadID = p.Key, p.Key, p.ID
	return nil
}

// join makes the pieces the object's content, if they read back as what came.
func (u *incoming) join(ctx context.Context, sum string) (api.Uploaded, error) {
	size := u.row.Pieces.Received
	if u.t.Size >= 0 && size != u.t.Size || u.t.SHA256 != "" && sum != u.t.SHA256 {
		return api.Uploaded{}, refuse(build.ErrInvalid, "the bytes sent are not those declared: size or SHA-256 differs")
	}
	if err := u.s.objects.JoinPieces(ctx, piecedOf(u.row), u.row.Pieces.Names, size); err != nil {
		return api.Uploaded{}, err
	}
	c := store.Content{Size: size, SHA256: sum}
	var err error
	if c.ContentType, err = u.readBack(ctx, c); err != nil {
		return api.Uploaded{}, err
	}
	return u.commit(ctx, c)
}

// readBack hashes what the object store made of the pieces, since they may have been stored by different processes over hours,
// and judges a source.
func (u *incoming) readBack(ctx context.Context, want store.Content) (kind string, err error) {
	r, _, err := u.s.objects.Get(ctx, u.key, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h, head := sha256.New(), make([]byte, archive.MagicLen)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	kind = contentType(head[:n])
	all := io.TeeReader(io.MultiReader(bytes.NewReader(head[:n]), r), h)
	var verdict error
	if u.judged() && kind == "application/gzip" {
		_, err := archive.InspectTarGz(ctx, all, u.s.cfg.Unpack)
		verdict = badArchive(err)
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 {
		return "", fmt.Errorf("%w: its pieces were %s, it reads as %s", objects.ErrCorrupt, want.SHA256, got)
	}
	if u.judged() && kind != "application/gzip" {
		verdict = u.s.inspectStored(ctx, u.key, store.Content{ContentType: kind})
	}
	return kind, verdict
}
