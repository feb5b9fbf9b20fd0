package process

import (
	"strconv"
	"strings"
	"time"
)

// parsePS adds up lines of "pid rss time", rss in KiB.
func parsePS(out string) Usage {
	var u Usage
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		rss, err := strconv.ParseInt(f[1], 10, 64)
		cpu, ok := parsePSTime(f[2])
		if err != nil || !ok {
			continue
		}
		u.Memory += rss << 10
		u.CPU += cpu
		u.Processes++
	}
	return u
}

// parsePSTime reads [[days-]hours:]minutes:seconds[.hundredths].
func parsePSTime(text string) (time.Duration, bool) {
	days, rest, found := strings.Cut(text, "-")
	if !found {
		days, rest = "0", text
	}
	total, err := strconv.ParseFloat(days, 64)
	if err != nil {
		return 0, false
	}
	parts := strings.Split(rest, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	if len(parts) == 2 {
		parts = append([]string{"0"}, parts...)
	}
	for i, p := range parts {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil || n < 0 {
			return 0, false
		}
		total = total*[]float64{24, 60, 60}[i] + n
	}
	return time.Duration(total * float64(time.Second)), true
}
