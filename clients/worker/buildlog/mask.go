package buildlog

import (
	"slices"
	"strings"
)

// minSecret: shorter values ("1", "dev") would black out half of the log and hide nothing.
const minSecret = 4

// masked stands where a secret was.
const masked = "[secret]"

// Mask replaces secrets. The zero value replaces nothing. It is safe for concurrent use.
type Mask struct {
	replacer *strings.Replacer
	longest  int
}

// NewMask hides each value, and each line of one that has several; values under 4 bytes are not hidden.
func NewMask(values []string) Mask {
	var secrets []string
	for _, v := range values {
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				secrets = append(secrets, line)
			}
		}
	}
	// The longest first: one may begin with another.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	var m Mask
	pairs := make([]string, 0, 2*len(secrets))
	for _, s := range slices.Compact(secrets) {
		pairs = append(pairs, s, masked)
		m.longest = max(m.longest, len(s))
	}
	if len(pairs) > 0 {
		m.replacer = strings.NewReplacer(pairs...)
	}
	return m
}

// Text gives s without secrets.
func (m Mask) Text(s string) string {
	if m.replacer == nil {
		return s
	}
	return m.replacer.Replace(s)
}

// SecretName judges by a variable's name whether its value is a secret.
func SecretName(name string) bool {
	upper := strings.ToUpper(name)
	for _, word := range []string{"TOKEN", "SECRET", "PASSW", "_KEY", "AUTH", "CREDENTIAL", "PRIVATE"} {
		if strings.Contains(upper, word) {
			return true
		}
	}
	return false
}
