package build

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Words that a submit may have instead of a build number, so that it is that of the counter of its project and platform.
const (
	// NextNumber takes the number after the last one used.
	NextNumber = "next"
	// LastNumber is the last number used, which stays the last one.
	LastNumber = "last"
)

// MaxVersionCode is the largest versionCode that Google Play accepts.
const MaxVersionCode = 2_100_000_000

// buildNumberRule is Apple's CFBundleVersion: one to three numbers with dots between. Android's versionCode is one number.
var buildNumberRule = regexp.MustCompile(`^[0-9]{1,10}(\.[0-9]{1,10}){0,2}$`)

// CountedNumber reports whether a build number stands for that of the counter.
func CountedNumber(n string) bool { return n == NextNumber || n == LastNumber }

// CheckNumber returns ErrInvalid if n cannot be the versionCode (Android) or buildNumber (iOS) of an app.
func CheckNumber(p Platform, n string) error {
	if p == Android {
		if code, err := strconv.ParseInt(n, 10, 64); err != nil || !buildNumberRule.MatchString(n) || code < 1 || code > MaxVersionCode {
			return fmt.Errorf("%w: versionCode %.40q (want a whole number from 1 to %d)", ErrInvalid, n, int64(MaxVersionCode))
		}
		return nil
	}
	if !buildNumberRule.MatchString(n) {
		return fmt.Errorf("%w: buildNumber %.40q (want up to three numbers with dots between, such as 42 or 1.2.3)", ErrInvalid, n)
	}
	return nil
}

// NumberAfter returns the number that follows n: its last component is one higher, as with EAS. It returns ErrInvalid if n is not a
// number of the platform or the last one that there can be.
func NumberAfter(p Platform, n string) (string, error) {
	if err := CheckNumber(p, n); err != nil {
		return "", err
	}
	parts := numberParts(n)
	parts[len(parts)-1]++
	next := make([]string, len(parts))
	for i, part := range parts {
		next[i] = strconv.FormatUint(part, 10)
	}
	out := strings.Join(next, ".")
	if err := CheckNumber(p, out); err != nil {
		return "", fmt.Errorf("%w: no number follows %s", ErrInvalid, n)
	}
	return out, nil
}

// NumberBelow reports whether a is lower than b. A component that is missing counts as 0.
func NumberBelow(a, b string) bool {
	x, y := numberParts(a), numberParts(b)
	for i := range max(len(x), len(y)) {
		var p, q uint64
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return p < q
		}
	}
	return false
}

// numberParts are the components of a number that was checked.
func numberParts(n string) []uint64 {
	texts := strings.Split(n, ".")
	parts := make([]uint64, len(texts))
	for i, text := range texts {
		parts[i], _ = strconv.ParseUint(text, 10, 64) // at most ten digits
	}
	return parts
}
