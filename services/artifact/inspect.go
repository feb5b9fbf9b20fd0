package artifact

import (
	"context"
	"errors"
	"io"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// smallSource is the largest source that is judged in memory, in bytes; it bounds what an upload takes beside its buffer.
const smallSource = 1 << 20

// sourceHead refuses what cannot be an archive by its first bytes.
func sourceHead(head []byte) error {
	switch {
	case len(head) == 0:
		return badArchive(archive.ErrEmpty)
	case archive.Detect(head) == archive.Unknown:
		return badArchive(archive.ErrNotArchive)
	}
	return nil
}

// inspect judges a source.
func (s *Service) inspect(ctx context.Context, r io.ReaderAt, size int64) error {
	_, err := archive.Inspect(ctx, r, size, s.cfg.Unpack)
	return badArchive(err)
}

// inspectStored judges a source in the object store: a zip by its directory, read piece by piece, a tar.gz in one stream.
func (s *Service) inspectStored(ctx context.Context, key string, c store.Content) error {
	if c.ContentType == "application/gzip" {
		r, _, err := s.objects.Get(ctx, key, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = archive.InspectTarGz(ctx, r, s.cfg.Unpack)
		return badArchive(err)
	}
	f, err := s.objects.Open(ctx, key)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.inspect(ctx, f, f.Size())
}

// badArchive passes the archive's own sentence on; errors of the reader pass as they are.
func badArchive(err error) error {
	for _, known := range []error{
		archive.ErrEmpty, archive.ErrNotArchive, archive.ErrUnsafe, archive.ErrTooLarge, archive.ErrCorrupt,
	} {
		if errors.Is(err, known) {
			return because(build.ErrBadArchive, err, "%s", err.Error())
		}
	}
	return err
}
