package transfer

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
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// An append's pieces are the object store's.
const _ = uint(api.AppendBytes-objects.PartSize) * uint(objects.PartSize-api.AppendBytes)

//nolint:gochecknoglobals // a pool is shared by its nature
var pieceBuffers = sync.Pool{New: func() any { b := make([]byte, objects.PartSize); return &b }}

// storePieces stores the body piece by piece. It drops an incomplete piece unless it is the last: the client is told how much was
// stored.
func (u *upload) storePieces(ctx context.Context, last bool) (api.Uploaded, error) {
	claim, err := u.catalog.Space.Claim(max(u.length, 0))
	if err != nil {
		return api.Uploaded{}, err
	}
	defer claim.Release()
	u.body.onBytes = u.progress(ctx, claim)
	if u.row.Pieces.Received == 0 {
		u.body.onHead = u.checkHead
	}
	sum, err := u.resumeHash()
	if err != nil {
		return api.Uploaded{}, err
	}
	buf := pieceBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer pieceBuffers.Put(buf)
	for ended := false; !ended; {
		var n int
		if n, err = fill(u.body, *buf); err != nil && !errors.Is(err, io.EOF) {
			return api.Uploaded{}, err
		}
		ended = err != nil
		if n < len(*buf) && !last || n == 0 {
			continue // the end, see fill
		}
		if err := u.storePiece(ctx, (*buf)[:n], sum); err != nil {
			return api.Uploaded{}, err
		}
	}
	if !last {
		return api.Uploaded{}, nil
	}
	return u.join(ctx, hex.EncodeToString(sum.Sum(nil)))
}

func (u *upload) resumeHash() (hash.Hash, error) {
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

// storePiece stores one piece and then records it in the row. A crash between the two costs the piece, which the client sends again.
func (u *upload) storePiece(ctx context.Context, data []byte, sum hash.Hash) error {
	was := u.row.Pieces
	if was.Received+int64(len(data)) > u.t.MaxBytes {
		return catalog.TooLarge(catalog.KindOf(u.row), u.t.MaxBytes)
	}
	if was.UploadID == "" {
		if err := u.beginPieces(ctx); err != nil {
			return err
		}
	}
	name, err := u.catalog.Objects.PutPiece(ctx, catalog.PiecesOf(u.row), len(was.Names)+1, data)
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
	if err := u.catalog.Rows.Advance(ctx, u.row.ID, now, was.Received, time.Now().Add(u.catalog.StagedTTL)); err != nil {
		return err
	}
	u.row.Pieces = now
	return nil
}

func (u *upload) beginPieces(ctx context.Context) error {
	p, err := u.catalog.Objects.BeginPieces(ctx, catalog.NewKey(u.row))
	if err != nil {
		return err
	}
	if err := u.catalog.Rows.BeginPieces(ctx, u.row.ID, p.Key, p.ID, time.Now().Add(u.catalog.StagedTTL)); err != nil {
		return errors.Join(err, u.catalog.Objects.DropPieces(context.WithoutCancel(ctx), p))
	}
	u.key, u.row.Key, u.row.Pieces.UploadID = p.Key, p.Key, p.ID
	return nil
}

// join makes the pieces the object's content, if they read back as what was sent.
func (u *upload) join(ctx context.Context, sum string) (api.Uploaded, error) {
	size := u.row.Pieces.Received
	if u.t.Size >= 0 && size != u.t.Size || u.t.SHA256 != "" && sum != u.t.SHA256 {
		return api.Uploaded{}, httpx.Refuse(build.ErrInvalid, "the bytes sent are not those declared: size or SHA-256 differs")
	}
	if err := u.catalog.Objects.JoinPieces(ctx, catalog.PiecesOf(u.row), u.row.Pieces.Names, size); err != nil {
		return api.Uploaded{}, err
	}
	c := store.Content{Size: size, SHA256: sum}
	var err error
	if c.ContentType, err = u.readBack(ctx, c); err != nil {
		return api.Uploaded{}, err
	}
	return u.commit(ctx, c)
}

// readBack hashes what the object store made of the pieces, since different processes may have stored them over hours, and inspects
// a source.
func (u *upload) readBack(ctx context.Context, want store.Content) (kind string, err error) {
	r, _, err := u.catalog.Objects.Get(ctx, u.key, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h, head := sha256.New(), make([]byte, archive.MagicLen)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	kind = catalog.ContentType(head[:n])
	all := io.TeeReader(io.MultiReader(bytes.NewReader(head[:n]), r), h)
	var verdict error
	if u.mustInspect() && kind == "application/gzip" {
		_, err := archive.InspectTarGz(ctx, all, u.catalog.Unpack)
		verdict = catalog.ArchiveError(err)
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 {
		return "", fmt.Errorf("%w: its pieces were %s, it reads as %s", objects.ErrCorrupt, want.SHA256, got)
	}
	if u.mustInspect() && kind != "application/gzip" {
		verdict = u.catalog.InspectStored(ctx, u.key, kind)
	}
	return kind, verdict
}
