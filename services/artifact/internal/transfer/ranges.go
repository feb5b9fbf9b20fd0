package transfer

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// byteRange is a part of an object: length bytes from start.
type byteRange struct{ start, length int64 }

func (r byteRange) header(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.start, r.start+r.length-1, size)
}

// wantedRange reads Range and If-Range (RFC 9110 §14). partial tells that the request has one range that applies. For several ranges,
// other units and invalid text it returns the whole, as the standard allows; for a range past the end problem.ErrRange.
func wantedRange(h http.Header, etag string, size int64) (_ byteRange, partial bool, err error) {
	whole := byteRange{0, size}
	spec, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if cond := h.Get("If-Range"); !ok || cond != "" && cond != etag {
		return whole, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || strings.Contains(spec, ",") {
		return whole, false, nil
	}
	if first == "" {
		return suffix(last, size)
	}
	start, ok1 := digits(first)
	end, ok2 := size-1, true
	if last != "" {
		end, ok2 = digits(last)
	}
	switch {
	case !ok1 || !ok2 || last != "" && end < start:
		return whole, false, nil
	case start >= size:
		return whole, false, beyond(size)
	}
	return byteRange{start, min(end, size-1) - start + 1}, true, nil
}

// suffix is "-n", the last n bytes.
func suffix(text string, size int64) (byteRange, bool, error) {
	n, ok := digits(text)
	switch {
	case !ok:
		return byteRange{0, size}, false, nil
	case n == 0 || size == 0:
		return byteRange{0, size}, false, beyond(size)
	}
	n = min(n, size)
	return byteRange{size - n, n}, true, nil
}

func beyond(size int64) error {
	return httpx.Refuse(problem.ErrRange, "the range starts past the end of the object, which has %d bytes", size)
}

// digits is stricter than ParseInt: no sign.
func digits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// matches reports whether an If-None-Match names the tag.
func matches(h http.Header, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(h.Values("If-None-Match"), ","), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
