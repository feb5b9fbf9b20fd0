package ingest

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestBrokenForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ err, want error }{
		{io.ErrUnexpectedEOF, build.ErrInvalid}, {os.ErrDeadlineExceeded, httpapi.ErrStalled},
	} {
		if got := httpapi.BodyError(c.err); !errors.Is(got, c.want) {
			t.Errorf("httpapi.BodyError(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
