package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// Verify passes rc through and, where it ends, answers ErrCorrupt instead of
// io.EOF when its SHA-256 (hex) or size differs from what is expected. More
// bytes than size are refused at once. size < 0 is not checked. The bytes
// before the error have been handed out: the consumer must drop them.
func Verify(rc io.ReadCloser, sha256Hex string, size int64) io.ReadCloser {
	return &verifier{rc: rc, hash: sha256.New(), want: sha256Hex, size: size}
}

type verifier struct {
	rc   io.ReadCloser
	hash hash.Hash
	want string
	size int64
	read int64
}

func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.rc.Read(b)
	v.read += int64(n)
	v.hash.Write(b[:n])
	if v.size >= 0 && v.read > v.size {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, v.size)
	}
	if err == io.EOF {
		return n, v.verdict()
	}
	return n, err
}

func (v *verifier) verdict() error {
	if v.size >= 0 && v.read != v.size {
		return fmt.Errorf("%w: %d of %d bytes", ErrCorrupt, v.read, v.size)
	}
	if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want {
		return fmt.Errorf("%w: SHA-256 is %s, not %s", ErrCorrupt, got, v.want)
	}
	return io.EOF
}

func (v *verifier) Close() error { return v.rc.Close() }
