package ticket_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
)

var start = time.UnixMilli(1_700_000_000_000)

func signer(t *testing.T, fill byte) *ticket.Signer {
	t.Helper()
	s, err := ticket.New(bytes.Repeat([]byte{fill}, ticket.MinKeyLength))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func example() ticket.Ticket {
	return ticket.Ticket{
		Op: ticket.Put, ObjectID: "o1", MaxBytes: 10, Size: 5, SHA256: "ab",
		ExpiresMS: start.Add(time.Minute).UnixMilli(),
	}
}

func signed(t *testing.T, s *ticket.Signer, tk ticket.Ticket) string {
	t.Helper()
	text, err := s.Sign(tk)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRoundTripOnAnotherReplica(t *testing.T) {
	t.Parallel()
	got, err := signer(t, 1).Verify(signed(t, signer(t, 1), example()), ticket.Put, start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("Verify: -want +got\n%s", diff)
	}
}

func TestEveryAlteredByteIsRefused(t *testing.T) {
	t.Parallel()
	s := signer(t, 1)
	text := signed(t, s, example())
	for i := range text {
		b := []byte(text)
		b[i] ^= 1
		if _, err := s.Verify(string(b), ticket.Put, start); !errors.Is(err, ticket.ErrInvalid) {
			t.Fatalf("Verify with byte %d altered = %v, want ErrInvalid", i, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := signer(t, 1)
	good := signed(t, s, example())
	body, _, _ := strings.Cut(good, ".")
	for name, c := range map[string]struct {
		text string
		op   ticket.Op
		now  time.Time
		want error
	}{
		"empty":           {"", ticket.Put, start, ticket.ErrInvalid},
		"no signature":    {body, ticket.Put, start, ticket.ErrInvalid},
		"empty one":       {body + ".", ticket.Put, start, ticket.ErrInvalid},
		"garbage":         {"...", ticket.Put, start, ticket.ErrInvalid},
		"other key":       {signed(t, signer(t, 2), example()), ticket.Put, start, ticket.ErrInvalid},
		"other op":        {good, ticket.Get, start, ticket.ErrInvalid},
		"expired":         {good, ticket.Put, start.Add(time.Minute + time.Millisecond), ticket.ErrExpired},
		"the last moment": {good, ticket.Put, start.Add(time.Minute), nil},
	} {
		if _, err := s.Verify(c.text, c.op, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: Verify = %v, want %v", name, err, c.want)
		}
	}
}

func TestShortKey(t *testing.T) {
	t.Parallel()
	if _, err := ticket.New(make([]byte, ticket.MinKeyLength-1)); err == nil {
		t.Error("New took a short key")
	}
}
