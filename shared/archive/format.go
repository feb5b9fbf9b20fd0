package archive

import (
	"bytes"
	"fmt"
	"io"
)

// Format is a kind of archive.
type Format int

// The formats.
const (
	Unknown Format = iota
	Zip
	TarGz
)

// String is the format's usual file extension.
func (f Format) String() string {
	switch f {
	case Zip:
		return "zip"
	case TarGz:
		return "tar.gz"
	}
	return "unknown"
}

// MagicLen is how many first bytes Detect needs.
const MagicLen = 4

// Detect tells the format from the content's first bytes; names are not asked
// since they are the uploader's. Every gzip counts as a tar.gz here; whether a
// tar is inside, Inspect finds out.
func Detect(first []byte) Format {
	switch {
	case bytes.HasPrefix(first, []byte("PK\x03\x04")), bytes.HasPrefix(first, []byte("PK\x05\x06")):
		return Zip
	case bytes.HasPrefix(first, []byte{0x1f, 0x8b}):
		return TarGz
	}
	return Unknown
}

func detectAt(r io.ReaderAt, size int64) (Format, error) {
	if size == 0 {
		return Unknown, ErrEmpty
	}
	first := make([]byte, min(size, MagicLen))
	if n, err := r.ReadAt(first, 0); n < len(first) {
		return Unknown, fmt.Errorf("read archive: %w", err)
	}
	format := Detect(first)
	if format == Unknown {
		return Unknown, ErrNotArchive
	}
	return format, nil
}
