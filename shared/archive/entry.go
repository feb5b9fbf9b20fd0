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
func cleanName(raw string, format Format) (string, error) {
	if why := badName(raw, format); why != "" {
		return "", unsafe(raw, why)
	}
	name := path.Clean(raw)
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", unsafe(raw, "the name leaves the archive")
	}
	return name, nil
}

func badName(raw string, format Format) string {
	switch {
	case raw == "":
		return "the name is empty"
	case len(raw) > maxName:
		return "the name is too long"
	case !utf8.ValidString(raw):
		return "the name is not UTF-8"
	case strings.ContainsRune(raw, 0):
		return "the name holds a NUL byte"
	case strings.Contains(raw, `\`) && (format != TarGz || !harmlessBackslash(raw)):
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

// harmlessBackslash reports whether the name stays inside also where a backslash separates elements.
// Git tracks such names. In a zip, which Windows may have made, a backslash stands for a slash.
func harmlessBackslash(raw string) bool {
	return raw[0] != '\\' && badName(strings.ReplaceAll(raw, `\`, "/"), TarGz) == ""
}

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// checkTarget refuses a symbolic link that points outside. This looks at the
// text only; links through links are checked on the unpacked tree.
func checkTarget(e entry) error {
	if why := LinkFault(e.name, e.target); why != "" {
		return unsafe(e.raw, why)
	}
	return nil
}

// LinkFault says why no archive can have a symbolic link of this name, a slash path, to the target.
// It returns "" if one can; whether it leads outside through other links is not known from the text.
func LinkFault(name, target string) string {
	switch {
	case target == "" || len(target) > maxTarget || strings.ContainsAny(target, "\\\x00"):
		return "the link has no valid target"
	case path.IsAbs(target) || filepath.IsAbs(target):
		return "the link points to an absolute path"
	case !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), target))):
		return "the link points outside the archive"
	}
	return ""
}

// NameFault says why PackTarGz and PackFiles cannot pack a file of this name, a slash path. It returns
// "" if they can.
func NameFault(name string) string {
	if why := badName(packedName(name), TarGz); why != "" {
		return why
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "the name leaves the archive"
	}
	return ""
}

// packedName is the name of an entry. A name such as "c:x" gets a "./", so that it cannot be taken
// for one with a drive letter.
func packedName(rel string) string {
	if len(rel) > 1 && rel[1] == ':' {
		return "./" + rel
	}
	return rel
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
