package easjson

import (
	"regexp"
	"strconv"
	"strings"
)

var versionPattern = regexp.MustCompile(`^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][a-zA-Z0-9-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][a-zA-Z0-9-]*))*)?` +
	`(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$`)

// Bounds of npm semver 7.5.2.
const (
	maxVersionLength = 256
	maxVersionNumber = 1<<53 - 1
)

// isVersion reports whether s is a whole semantic version as npm semver takes it: "20.1.0", "v20.1.0",
// but not "20" and not a range.
func isVersion(s string) bool {
	if len(s) > maxVersionLength {
		return false
	}
	m := versionPattern.FindStringSubmatch(strings.TrimFunc(s, isSpace))
	if m == nil {
		return false
	}
	for _, part := range m[1:4] {
		if n, err := strconv.ParseUint(part, 10, 64); err != nil || n > maxVersionNumber {
			return false
		}
	}
	return true
}
