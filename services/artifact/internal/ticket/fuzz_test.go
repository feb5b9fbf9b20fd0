package ticket_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/ticket"
)

// FuzzVerify: what we did not sign is no ticket, whatever it looks like.
func FuzzVerify(f *testing.F) {
	signer, err := ticket.New(bytes.Repeat([]byte{1}, ticket.MinKeyLength))
	if err != nil {
		f.Fatal(err)
	}
	good, err := signer.Sign(ticket.Ticket{Op: ticket.Put, ObjectID: "o", ExpiresMS: 1 << 50})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, good + "=", good + ".", "." + good, "x.y", "", "....", good[:len(good)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := signer.Verify(text, ticket.Put, time.UnixMilli(0)); err == nil && text != good {
			t.Errorf("%q is taken for a ticket", text)
		}
	})
}
