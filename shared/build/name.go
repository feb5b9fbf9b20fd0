package build

import "regexp"

// MaxNameLength is how many characters the name of a project or profile may have.
const MaxNameLength = 100

var names = regexp.MustCompile(`^[\p{L}\p{N} ._@/-]{0,100}$`)

// ValidName reports whether a project or profile may be called s. It keeps names printable, short and free of control characters; the
// empty name is valid.
func ValidName(s string) bool { return names.MatchString(s) }
