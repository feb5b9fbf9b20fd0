package transfer

import (
	"net/http"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// FuzzRange: a range lies within the object or is refused.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=5-3", "bytes=-5", "bytes=-0", "bytes=9-9", "bytes=1-2,4-5", "lines=1-2", "bytes= 1 - 2", "bytes=99999999999999999999-"} {
		f.Add(seed, "", int64(10))
	}
	f.Add("bytes=0-", `"other"`, int64(0))
	f.Fuzz(func(t *testing.T, spec, cond string, size int64) {
		if size < 0 {
			return
		}
		r, partial, err := wantedRange(http.Header{"Range": {spec}, "If-Range": {cond}}, `"tag"`, size)
		switch {
		case err != nil:
		case r.start < 0 || r.length < 0 || r.start > size || r.length > size-r.start:
			t.Errorf("range %q of %d bytes = %+v", spec, size, r)
		case !partial && (r.start != 0 || r.length != size):
			t.Errorf("the whole of %d bytes = %+v", size, r)
		case partial && r.length == 0:
			t.Errorf("range %q of %d bytes is empty", spec, size)
		}
	})
}

// FuzzAppendHeaders: an offset is a number of bytes, or the request is refused.
func FuzzAppendHeaders(f *testing.F) {
	for _, seed := range []string{"0", "-1", "+5", "0x10", "99999999999999999999", " 1", ""} {
		f.Add(seed, "?1")
	}
	f.Fuzz(func(t *testing.T, offset, complete string) {
		at, last, err := position(http.Header{api.OffsetHeader: {offset}, api.CompleteHeader: {complete}})
		if err == nil && (at < 0 || last != (complete == api.Complete)) {
			t.Errorf("%q, %q = %d, %t", offset, complete, at, last)
		}
	})
}
