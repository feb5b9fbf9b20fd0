package archive

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

type kind int

const (
	file kind = iota
	directory
	symlink
	hardlink
	special // devices, pipes and whatever else
)

// entry is one member of an archive, the same for both formats.
type entry struct {
	raw     string // as the archive says, for messages
	name    string // checked and clean, "." for the root itself
	kind    kind
	size    int64  // declared, bytes
	target  string // of a link; "" where it is not known without reading
	exec    bool
	modTime time.Time
}

// cleanName checks an entry's name and returns it relative, with slashes.
func cleanName(raw string) (string, error) {
	if why := badName(raw); why != "" {
		return "", unsafe(raw, why)
	}
	name := path.Clean(raw)
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", unsafe(raw, "the name leaves the archive")
	}
	return name, nil
}

func badName(raw string) string {
	switch {
	case raw == "":
		return "the name is empty"
	case len(raw) > maxName:
		return "the name is too long"
	case !utf8.ValidString(raw):
		return "the name is not UTF-8"
	case strings.ContainsRune(raw, 0):
		return "the name holds a NUL byte"
	case strings.Contains(raw, `\`):
		return "the name holds a backslash"
	case raw[0] == '/':
		return "the name is absolute"
	case len(raw) > 1 && raw[1] == ':' && isLetter(raw[0]):
		return "the name starts with a drive letter"
	}
	for element := range strings.SplitSeq(raw, "/") {
		if element == ".." {
			return `the name holds ".."`
		}
		if len(element) > maxElement {
			return "an element of the name is too long"
		}
	}
	return ""
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// checkTarget refuses a symbolic link that points outside. This looks at the
// text only; links through links are checked on the unpacked tree.
func checkTarget(e entry) error {
	switch {
	case e.target == "" || len(e.target) > maxTarget || strings.ContainsAny(e.target, "\\\x00"):
		return unsafe(e.raw, "the link has no valid target")
	case path.IsAbs(e.target) || filepath.IsAbs(e.target):
		return unsafe(e.raw, "the link points to an absolute path")
	}
	if !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(e.name), e.target))) {
		return unsafe(e.raw, "the link points outside the archive")
	}
	return nil
}

func kindOf(mode fs.FileMode) kind {
	switch mode.Type() {
	case 0:
		return file
	case fs.ModeDir:
		return directory
	case fs.ModeSymlink:
		return symlink
	}
	return special
}
