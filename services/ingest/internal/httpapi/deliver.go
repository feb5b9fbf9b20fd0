package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Deliver writes a JSON response. It returns an error if the client cannot have received it. A
// disconnect after the write does not count: a satisfied client closes the connection too.
func Deliver(w http.ResponseWriter, r *http.Request, v any) error {
	if err := r.Context().Err(); err != nil {
		return fmt.Errorf("the client left: %w", err)
	}
	out := &errTrackingWriter{ResponseWriter: w}
	httpx.WriteJSON(out, http.StatusOK, v)
	if out.err != nil {
		return fmt.Errorf("write the answer: %w", out.err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// errTrackingWriter records write errors.
type errTrackingWriter struct {
	http.ResponseWriter
	err error
}

func (c *errTrackingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.err = errors.Join(c.err, err)
	return n, err
}
