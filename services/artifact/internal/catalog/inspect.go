package catalog

import (
	"context"
	"errors"
	"io"

	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// SmallSource is the largest source that is inspected in memory, in bytes. It bounds what an upload needs beside its buffer.
const SmallSource = 1 << 20

// CheckHead refuses what cannot be an archive by its first bytes.
func CheckHead(head []byte) error {
	switch {
	case len(head) == 0:
		return ArchiveError(archive.ErrEmpty)
	case archive.Detect(head) == archive.Unknown:
		return ArchiveError(archive.ErrNotArchive)
	}
	return nil
}

// Inspect checks a source.
func (c *Catalog) Inspect(ctx context.Context, r io.ReaderAt, size int64) error {
	_, err := archive.Inspect(ctx, r, size, c.Unpack)
	return ArchiveError(err)
}

// InspectStored checks a source in the object store: a zip by its directory, read piece by piece, a tar.gz in one stream.
func (c *Catalog) InspectStored(ctx context.Context, key, contentType string) error {
	if contentType == "application/gzip" {
		r, _, err := c.Objects.Get(ctx, key, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = archive.InspectTarGz(ctx, r, c.Unpack)
		return ArchiveError(err)
	}
	f, err := c.Objects.Open(ctx, key)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.Inspect(ctx, f, f.Size())
}

// ArchiveError makes a refusal of an error of package archive, with its sentence. It returns other errors unchanged.
func ArchiveError(err error) error {
	for _, known := range []error{
		archive.ErrEmpty, archive.ErrNotArchive, archive.ErrUnsafe, archive.ErrTooLarge, archive.ErrCorrupt,
	} {
		if errors.Is(err, known) {
			return httpx.Because(build.ErrBadArchive, err, "%s", err.Error())
		}
	}
	return err
}
