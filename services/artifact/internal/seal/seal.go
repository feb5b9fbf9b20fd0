package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// KeyLength is the length of the master key and of each data key, in bytes.
const KeyLength = 32

// ErrTampered means that content or wrapped key were changed, or belong to another object or master key.
var ErrTampered = errors.New("sealed content does not open")

// Box seals and opens under one master key; it is safe for concurrent use.
type Box struct{ master cipher.AEAD }

// New returns a box. The key needs exactly KeyLength bytes.
func New(master []byte) (*Box, error) {
	aead, err := newAEAD(master)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return &Box{master: aead}, nil
}

// newAEAD returns a cipher that puts a random nonce in front of each message.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeyLength {
		return nil, fmt.Errorf("%d bytes, %d are needed", len(key), KeyLength)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("GCM: %w", err)
	}
	return aead, nil
}

// Seal encrypts plain under a fresh data key. The wrapped key opens only together with id, so that a row cannot be given
// another's key.
func (b *Box) Seal(plain []byte, id string) (sealed, wrapped []byte, err error) {
	key := make([]byte, KeyLength)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, nil, err
	}
	return aead.Seal(nil, nil, plain, nil), b.master.Seal(nil, nil, key, []byte(id)), nil
}

// Open is the inverse of Seal, or ErrTampered.
func (b *Box) Open(sealed, wrapped []byte, id string) ([]byte, error) {
	key, err := b.unwrap(wrapped, id)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: content", ErrTampered)
	}
	return plain, nil
}

// Rewrap returns the key of a copy, named to, of the object from.
func (b *Box) Rewrap(wrapped []byte, from, to string) ([]byte, error) {
	key, err := b.unwrap(wrapped, from)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return b.master.Seal(nil, nil, key, []byte(to)), nil
}

func (b *Box) unwrap(wrapped []byte, id string) ([]byte, error) {
	key, err := b.master.Open(nil, nil, wrapped, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("%w: key", ErrTampered)
	}
	return key, nil
}
