package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
)

// MinKeyLength is the shortest API key accepted, as the former controller had it.
const MinKeyLength = 16

// NewSecret gives 256 random bits in lower-case base32: 52 characters of a-z and 2-7.
func NewSecret() string { return strings.ToLower(rand.Text() + rand.Text()) }

// ValidKey refuses keys that are short, or that the scripts in build VMs could not carry.
func ValidKey(key string) error {
	if len(key) < MinKeyLength {
		return fmt.Errorf("%w must have at least %d characters (got %d); choose a longer one", ErrKey, MinKeyLength, len(key))
	}
	if strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return fmt.Errorf("%w may hold only letters, digits, _ and -: choose one without other characters", ErrKey)
	}
	return nil
}

// Hash is what is stored of a secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Matches compares a secret with a stored hash in constant time. An empty hash matches nothing.
func Matches(secret, hash string) bool {
	return hash != "" && subtle.ConstantTimeCompare([]byte(Hash(secret)), []byte(hash)) == 1
}
