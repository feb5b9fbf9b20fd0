package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Deliver answers, and says if the client cannot have got the answer. Once it is written, no leaving counts: a client that
// has what it wanted closes the line, too.
func Deliver(w http.ResponseWriter, r *http.Request, v any) error {
	if err := r.Context().Err(); err != nil {
		return fmt.Errorf("the client left: %w", err)
	}
	out := &checkedWriter{ResponseWriter: w}
	httpx.WriteJSON(out, http.StatusOK, v)
	if out.err != nil {
		return fmt.Errorf("write the answer: %w", out.err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// checkedWriter remembers that a write failed.
type checkedWriter struct {
	http.ResponseWriter
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.err = errors.Join(c.err, err)
	return n, err
}
