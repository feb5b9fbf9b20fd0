package httpapi

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

func TestBrokenForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ err, want error }{
		{io.ErrUnexpectedEOF, build.ErrInvalid}, {os.ErrDeadlineExceeded, httpx.ErrStalled},
	} {
		if got := BodyError(c.err); !errors.Is(got, c.want) {
			t.Errorf("BodyError(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
