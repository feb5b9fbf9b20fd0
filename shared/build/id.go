package build

import (
	"crypto/rand"
	"strings"
)

// NewID returns a random identifier of 128 bits in lower-case base32: safe in a NATS subject, a path, a URL and a shell.
func NewID() string { return strings.ToLower(rand.Text()) }

// MaxIDLength bounds what ValidID accepts; ids of the former controller have 21 characters, ours 26.
const MaxIDLength = 64

// ValidID says whether s may be used as an identifier: 1 to 64 of A-Z a-z 0-9 _ -. Scripts in build VMs reject anything else.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxIDLength {
		return false
	}
	for _, c := range []byte(s) {
		if !idByte(c) {
			return false
		}
	}
	return true
}

func idByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
