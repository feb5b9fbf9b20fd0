package retention

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
)

const day = 24 * time.Hour

// parseAge reads a duration with days: 30d, 12h, 1d12h. It returns whole seconds.
func parseAge(flag, text string) (int64, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.ParseInt(days, 10, 32)
	var d time.Duration
	if err == nil && rest != "" {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || n < 0 || d < 0 {
		return 0, session.Usage("--%s must be a duration such as 30d or 12h (got %q)", flag, text)
	}
	return n*int64(day/time.Second) + int64(d/time.Second), nil
}

// sizes are the units of bytes, the longest first.
//
//nolint:gochecknoglobals // a constant table
var sizes = []struct {
	unit  string
	shift int
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"K", 10}, {"M", 20}, {"G", 30}, {"T", 40}, {"B", 0}, {"", 0}}

// parseSize reads a number of bytes: 50GiB, 500M, 1024.
func parseSize(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, s := range sizes {
		number, found := strings.CutSuffix(text, s.unit)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > (1<<60)>>s.shift {
			break
		}
		return n << s.shift, nil
	}
	return 0, session.Usage("--%s must be a size such as 50GiB or 500M (got %q)", flag, text)
}

// showAge is a number of seconds for people.
func showAge(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
