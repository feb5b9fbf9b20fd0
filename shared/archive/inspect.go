package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
)

// Inspect checks an archive of size bytes without writing anything. A zip is
// judged by its directory, read piece by piece; a tar.gz is read through. The
// declared sizes must fit the limits. ErrEmpty, ErrNotArchive, ErrCorrupt,
// ErrUnsafe, ErrTooLarge, or r's own error; an archive of nothing is none.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, limits Limits) (Summary, error) {
	format, err := detectAt(r, size)
	if err != nil {
		return Summary{}, err
	}
	if format == Zip {
		return inspectZip(ctx, r, size, limits)
	}
	return walkTarGz(ctx, io.NewSectionReader(r, 0, size), size, limits, declared)
}

// InspectTarGz is Inspect for a tar.gz that can only be read once.
func InspectTarGz(ctx context.Context, r io.Reader, limits Limits) (Summary, error) {
	return walkTarGz(ctx, r, -1, limits, declared)
}

// damaged reports an error that speaks of the archive and not of the reader.
func damaged(err error) bool {
	var flateErr flate.CorruptInputError
	for _, target := range []error{
		io.ErrUnexpectedEOF, io.EOF, gzip.ErrHeader, gzip.ErrChecksum, tar.ErrHeader, tar.ErrFieldTooLong,
		zip.ErrFormat, zip.ErrChecksum, zip.ErrAlgorithm,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return errors.As(err, &flateErr)
}
