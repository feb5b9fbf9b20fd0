package outage_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/expo-free-agent/freeagent/shared/outage"
)

// gone is like the driver's "conn closed", whose type is its own.
type gone struct{ error }

func (gone) SafeToRetry() bool { return true }

func TestIs(t *testing.T) {
	t.Parallel()
	_, refused := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nil":           {nil, false},
		"ours":          {errors.New("nil map"), false},
		"end of a list": {io.EOF, false},
		"refused":       {fmt.Errorf("ask: %w", refused), true},
		"cut":           {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"gone":          {fmt.Errorf("begin: %w", gone{errors.New("conn closed")}), true},
		"shutdown":      {&pgconn.PgError{Code: "57P01"}, true},
		"starting":      {fmt.Errorf("begin: %w", &pgconn.PgError{Code: "57P03"}), true},
		"crowded":       {&pgconn.PgError{Code: "53300"}, true},
		"read-only":     {&pgconn.PgError{Code: "25006"}, true},
		"wrong":         {&pgconn.PgError{Code: "42601"}, false},
		"conflict":      {&pgconn.PgError{Code: "23505"}, false},
	} {
		if got := outage.IsUnavailable(c.err); got != c.want {
			t.Errorf("%s: Is(%v) = %t, want %t", name, c.err, got, c.want)
		}
	}
}

func TestIsDiskFull(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"53100": true, "53000": false, "53300": false, "42601": false} {
		if got := outage.IsDiskFull(fmt.Errorf("commit: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("IsDiskFull(%s) = %t, want %t", code, got, want)
		}
	}
	if outage.IsDiskFull(nil) || outage.IsDiskFull(errors.New("no space left on device")) {
		t.Error("an error of no database is taken for a full disk")
	}
}
