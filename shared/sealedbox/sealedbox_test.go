package sealedbox_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

func TestSealedForOneKeyAboutOneThing(t *testing.T) {
	t.Parallel()
	key, err := sealedbox.New()
	if err != nil {
		t.Fatal(err)
	}
	other, err := sealedbox.New()
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte("a value that nobody else reads")
	sealed, err := sealedbox.Seal(key.Public(), plain, "set", "shop")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the message is in the sealed one")
	}
	if got, err := key.Open(sealed, "set", "shop"); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Open = %q, %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another key":        func() ([]byte, error) { return other.Open(sealed, "set", "shop") },
		"about another":      func() ([]byte, error) { return key.Open(sealed, "set", "bank") },
		"words joined":       func() ([]byte, error) { return key.Open(sealed, "setshop") },
		"changed":            func() ([]byte, error) { return key.Open(changed, "set", "shop") },
		"empty":              func() ([]byte, error) { return key.Open(nil, "set", "shop") },
		"shorter than a key": func() ([]byte, error) { return key.Open(sealed[:10], "set", "shop") },
	} {
		if got, err := open(); !errors.Is(err, sealedbox.ErrOpen) {
			t.Errorf("%s: Open = %q, %v, want ErrOpen", name, got, err)
		}
	}
	if _, err := sealedbox.Seal([]byte("short"), plain); err == nil {
		t.Error("Seal for a public key of 5 bytes succeeded")
	}
}

func TestReplicasDeriveTheSameKey(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{7}, 32)
	first, err1 := sealedbox.Derive(secret, "variables")
	second, err2 := sealedbox.Derive(secret, "variables")
	third, err3 := sealedbox.Derive(secret, "other")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Public(), second.Public()) || bytes.Equal(first.Public(), third.Public()) {
		t.Error("the key must depend on the secret and the purpose, and on nothing else")
	}
}
