package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/objects"
)

// MaxCertsBytes bounds the limit of certs, since they are encrypted in memory.
const MaxCertsBytes = 64 << 20

// SettleTimeout bounds what must be done after the bytes of an upload have arrived or failed, even if the client has left.
const SettleTimeout = 15 * time.Second

// Undo removes what a failed upload may have left. The row goes last, and only if the key is gone for certain: as long as
// it is there the janitor finds the key. With keep the row stays for another try, until it expires.
func (c *Catalog) Undo(ctx context.Context, row store.Object, key string, counted, keep bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SettleTimeout)
	defer cancel()
	if key != "" {
		if err := c.Objects.Delete(ctx, key); err != nil {
			return err
		}
	}
	if keep {
		return c.Rows.EndUpload(ctx, row.ID, counted)
	}
	return c.Rows.GiveUp(ctx, row.ID, counted)
}

// discardTries is how often a row may change between our look and our claim; each change is one step of its short life.
const discardTries = 5

// Discard removes an object, whatever its state. It is no error if there is none.
func (c *Catalog) Discard(ctx context.Context, id string) error {
	for range discardTries {
		o, err := c.Rows.Get(ctx, id)
		if IsMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if gone, err := c.Destroy(ctx, o); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("discard object %s: %w: it keeps changing", id, build.ErrUnavailable)
}

// Destroy removes an object that still is as seen, and returns false if it is not. The row first says so, which fences keep and uploads;
// then the bytes go, then the row: a crash between leaves a condemned row for the janitor.
func (c *Catalog) Destroy(ctx context.Context, seen store.Object) (bool, error) {
	if seen.State != store.Condemned {
		if won, err := c.Rows.Condemn(ctx, seen); !won || err != nil {
			return false, err
		}
	}
	if seen.Pieces.UploadID != "" {
		if err := c.Objects.DropPieces(ctx, PiecesOf(seen)); err != nil {
			return false, err
		}
	}
	if err := c.deleteKeys(ctx, seen); err != nil {
		return false, err
	}
	if err := c.Rows.Remove(ctx, seen.ID); err != nil {
		return false, err
	}
	c.Log.InfoContext(ctx, "object removed", "object_id", seen.ID, "build_id", seen.BuildID, "kind", KindName(KindOf(seen)), "size", seen.Size)
	return true, nil
}

// deleteKeys deletes every key with the row's prefix, since a crashed upload may have left one that the row does not know.
func (c *Catalog) deleteKeys(ctx context.Context, o store.Object) error {
	if o.Prefix == "" { // its bytes came with the row
		return nil
	}
	for info, err := range c.Objects.List(ctx, o.Prefix+"-") {
		if err != nil {
			return err
		}
		if err := c.Objects.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// RemovedMeanwhile returns a refusal if an object that was there a moment ago has been removed since: then missing bytes are no
// damage.
func (c *Catalog) RemovedMeanwhile(ctx context.Context, o store.Object) error {
	if _, err := c.Readable(ctx, o.ID); IsMissing(err) {
		return httpx.Because(build.ErrObjectNotFound, err, "the object was removed meanwhile")
	}
	return nil
}

// PiecesOf returns the upload in pieces that a row is about.
func PiecesOf(o store.Object) objects.Pieced {
	return objects.Pieced{Key: o.Key, ID: o.Pieces.UploadID}
}
