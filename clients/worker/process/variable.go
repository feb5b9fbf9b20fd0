package process

import "bytes"

// hasVariable reports whether NAME=value is in an environment as the kernel shows it, with entries ended by NUL.
func hasVariable(env, needle []byte) bool {
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(entry, needle) {
			return true
		}
	}
	return false
}
