package build

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Bounds of labels.
const (
	// MaxLabels is how many labels a worker may have, and a build may require.
	MaxLabels = 64
	// MaxLabel bounds KEY=VALUE in bytes.
	MaxLabel = 128
)

// Labels of a worker by key, such as "xcode": "26.1". Neither keys nor values have commas or spaces.
type Labels map[string]string

var (
	labelKeyRule   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
	labelValueRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+:@/-]*$`)
)

// ParseLabel parses KEY=VALUE. Anything else is ErrInvalid.
func ParseLabel(text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || !ValidLabel(key, value) {
		return "", "", fmt.Errorf("%w: label %.140q (want KEY=VALUE of letters, digits and ._-/+:@, at most %d bytes, such as xcode=26.1)", ErrInvalid, text, MaxLabel)
	}
	return key, value, nil
}

// ValidLabel reports whether a worker may have the label.
func ValidLabel(key, value string) bool {
	return len(key)+1+len(value) <= MaxLabel && labelKeyRule.MatchString(key) && labelValueRule.MatchString(value)
}

// ParseLabels parses a list of KEY=VALUE. A repeated key is ErrInvalid, as are more than MaxLabels.
func ParseLabels(list []string) (Labels, error) {
	all := Labels{}
	for _, text := range list {
		key, value, err := ParseLabel(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if old, ok := all[key]; ok && old != value {
			return nil, fmt.Errorf("%w: label %s has two values, %s and %s", ErrInvalid, key, old, value)
		}
		all[key] = value
	}
	return all, all.Check()
}

// Check returns ErrInvalid for labels that a worker may not have.
func (l Labels) Check() error {
	if len(l) > MaxLabels {
		return fmt.Errorf("%w: %d labels, at most %d", ErrInvalid, len(l), MaxLabels)
	}
	for key, value := range l {
		if !ValidLabel(key, value) {
			return fmt.Errorf("%w: label %.140q (want KEY=VALUE of letters, digits and ._-/+:@, at most %d bytes, such as xcode=26.1)", ErrInvalid, key+"="+value, MaxLabel)
		}
	}
	return nil
}

// Has reports whether the labels meet one requirement: the same value, or a longer version of it. So 22.11.0 meets 22 and 22.11.
func (l Labels) Has(key, value string) bool {
	own, ok := l[key]
	return ok && (own == value || strings.HasPrefix(own, value) && own[len(value)] == '.')
}

// Requirements are the labels that a worker needs to build something, as KEY=VALUE by comma, sorted by key. Each key is there once. The
// zero value requires nothing.
type Requirements string

// Require returns the requirements of some labels.
func Require(labels Labels) Requirements {
	parts := make([]string, 0, len(labels))
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return Requirements(strings.Join(parts, ","))
}

// ParseRequirements parses KEY=VALUE by comma, in any order. What cannot be is ErrInvalid.
func ParseRequirements(text string) (Requirements, error) {
	if text == "" {
		return "", nil
	}
	labels, err := ParseLabels(strings.Split(text, ","))
	return Require(labels), err
}

// Labels returns the required labels.
func (r Requirements) Labels() Labels {
	all := Labels{}
	for key, value := range r.each {
		all[key] = value
	}
	return all
}

// each yields the required labels in order.
func (r Requirements) each(yield func(key, value string) bool) {
	for part := range strings.SplitSeq(string(r), ",") {
		if key, value, ok := strings.Cut(part, "="); ok && !yield(key, value) {
			return
		}
	}
}

// MetBy reports whether a worker with these labels meets all requirements.
func (r Requirements) MetBy(l Labels) bool {
	if r == "" {
		return true
	}
	for key, value := range r.each {
		if !l.Has(key, value) {
			return false
		}
	}
	return true
}

// String returns the requirements for people.
func (r Requirements) String() string { return strings.ReplaceAll(string(r), ",", ", ") }
