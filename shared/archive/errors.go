package archive

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/text"
)

var (
	// ErrNotArchive says that the content is neither a zip nor a tar.gz.
	ErrNotArchive = errors.New("not a zip or tar.gz archive")
	// ErrEmpty says that there are no bytes at all.
	ErrEmpty = errors.New("the file is empty")
	// ErrUnsafe says that an entry could do harm; the message names it.
	ErrUnsafe = errors.New("unsafe archive entry")
	// ErrTooLarge says that the archive exceeds a limit, as bombs do.
	ErrTooLarge = errors.New("archive exceeds a limit")
	// ErrCorrupt says that the archive is damaged or cut off.
	ErrCorrupt = errors.New("archive is damaged or incomplete")
	// ErrNotEmpty says that the directory to unpack into has something in it.
	ErrNotEmpty = errors.New("directory is not empty")
)

// maxQuoted bounds how much of a hostile name a message repeats, in bytes.
const maxQuoted = 100

func unsafe(name, why string) error {
	return fmt.Errorf("%w %s: %s", ErrUnsafe, quote(name), why)
}

// quote makes a name printable and short.
func quote(name string) string {
	if len(name) <= maxQuoted {
		return strconv.Quote(name)
	}
	return strconv.Quote(text.Cut(name, maxQuoted)) + "..."
}
