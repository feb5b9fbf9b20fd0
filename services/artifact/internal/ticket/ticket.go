package ticket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MinKeyLength is the shortest key that New accepts, in bytes: that of the hash.
const MinKeyLength = sha256.Size

var (
	// ErrInvalid means that the text is not a ticket, was altered, or is for another operation.
	ErrInvalid = errors.New("ticket is not valid")
	// ErrExpired means that the ticket is valid but too old to begin a transfer.
	ErrExpired = errors.New("ticket has expired")
)

// Op is what a ticket allows.
type Op string

// The operations, named as their HTTP methods.
const (
	Get Op = "GET"
	Put Op = "PUT"
)

// Ticket is what is signed.
type Ticket struct {
	Op       Op     `json:"op"`
	ObjectID string `json:"id"`
	// MaxBytes bounds an upload.
	MaxBytes int64 `json:"max,omitempty"`
	// Size and SHA256 are what an upload must turn out to be; -1 and "" are unknown.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	// AsIs is for a source that is not inspected, since another controller accepted it.
	AsIs bool `json:"as_is,omitempty"`
	// ExpiresMS is the last moment to begin, in milliseconds since the Unix epoch.
	ExpiresMS int64 `json:"exp"`
}

// Signer signs and checks tickets; it is safe for concurrent use.
type Signer struct{ key []byte }

// New returns a signer. The key needs at least MinKeyLength bytes.
func New(key []byte) (*Signer, error) {
	if len(key) < MinKeyLength {
		return nil, fmt.Errorf("ticket key has %d bytes, at least %d are needed", len(key), MinKeyLength)
	}
	return &Signer{key: key}, nil
}

// Sign returns the text for a header. It is secret: do not log it.
func (s *Signer) Sign(t Ticket) (string, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("pack ticket: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.mac(text)), nil
}

// Verify returns the ticket of a text, which must allow op. It returns ErrInvalid otherwise, and ErrExpired with the ticket if it is
// only too old.
// Nothing is decoded before the signature was checked.
func (s *Signer) Verify(text string, op Op, now time.Time) (Ticket, error) {
	body, sum, _ := strings.Cut(text, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	if err != nil || !hmac.Equal(mac, s.mac(body)) {
		return Ticket{}, ErrInvalid
	}
	t, err := decode(body)
	switch {
	case err != nil:
		return Ticket{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case t.Op != op:
		return Ticket{}, fmt.Errorf("%w: it is for %s", ErrInvalid, t.Op)
	case now.UnixMilli() > t.ExpiresMS:
		return t, ErrExpired
	}
	return t, nil
}

func decode(body string) (t Ticket, err error) {
	data, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return t, err
	}
	err = json.Unmarshal(data, &t)
	return t, err
}

// mac covers a name of the format besides, so that a later format or another use of the key cannot be taken for this one.
func (s *Signer) mac(body string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("freeagent transfer ticket 1\x00" + body))
	return h.Sum(nil)
}
