package sealedbox

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
)

// ErrOpen means that a message was sealed for another key or about something else, or was changed.
var ErrOpen = errors.New("sealed message does not open")

// Key opens messages. It is safe for concurrent use.
type Key struct{ private hpke.PrivateKey }

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// New returns a new key.
func New() (Key, error) {
	k, err := kem().GenerateKey()
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{k}, nil
}

// Derive returns the key that belongs to a secret and a purpose: all replicas with the secret have the same one.
func Derive(secret []byte, purpose string) (Key, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
	if err != nil {
		return Key{}, fmt.Errorf("derive a key: %w", err)
	}
	k, err := kem().DeriveKeyPair(seed)
	if err != nil {
		return Key{}, fmt.Errorf("derive a key: %w", err)
	}
	return Key{k}, nil
}

// Public returns what Seal needs.
func (k Key) Public() []byte { return k.private.PublicKey().Bytes() }

// Seal encrypts a message for the holder of a key.
func Seal(public, message []byte, about ...string) ([]byte, error) {
	to, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	sealed, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), info(about), message)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open is the inverse of Seal, or ErrOpen.
func (k Key) Open(sealed []byte, about ...string) ([]byte, error) {
	message, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info(about), sealed)
	if err != nil {
		return nil, ErrOpen // the reason says nothing that helps
	}
	return message, nil
}

// info joins words so that no two lists look the same; words contain no NUL.
func info(about []string) []byte { return []byte("freeagent\x00" + strings.Join(about, "\x00")) }
