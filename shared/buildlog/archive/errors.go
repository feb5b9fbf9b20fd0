package archive

import "errors"

var (
	// ErrCorrupt says that a file is no archive, or a damaged one.
	ErrCorrupt = errors.New("log archive is damaged")
	// ErrStop ends a read without an error.
	ErrStop = errors.New("enough lines")
)
