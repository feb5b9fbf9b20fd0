package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// named bounds how many names a warning lists.
const named = 5

// quote makes names with unusual characters readable.
func quote(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

// join lists the first names and counts the rest.
func join(names []string) string {
	shown := make([]string, 0, named)
	for _, n := range names[:min(named, len(names))] {
		shown = append(shown, quote(n))
	}
	text := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// warnOfSelection tells what was left out or let in against what one would expect.
func (t *settler) warnOfSelection() {
	if t.installed > 0 {
		t.warn("node_modules is never sent, and git tracks %d files in it. The worker installs the packages", t.installed)
	}
	if s := t.source; s.AppPath != "" {
		below := path.Join(s.AppPath, EASIgnore)
		if _, err := t.disk.Lstat(filepath.FromSlash(below)); err == nil {
			t.warn("%s is not read: as on EAS, only one at the root counts (%s)", below, s.Root)
		}
	}
	var secret []string
	others := 0
	for _, f := range t.source.Files {
		switch {
		case f.origin != letIn:
		case t.looksSecret(f):
			secret = append(secret, f.Path)
		default:
			others++
		}
	}
	if n := others + len(secret); n > 0 {
		t.differs = append(t.differs, fmt.Sprintf("%s lets in %d files that git ignores", EASIgnore, n))
	}
	if len(secret) > 0 {
		t.warn("%s lets in what git ignores: %s. Name in it what the build does not need", EASIgnore, join(secret))
	}
}

// secretSuffixes end the names of keys and credentials.
var secretSuffixes = []string{".jks", ".keystore", ".p12", ".p8", ".pfx", ".pem", ".key", ".mobileprovision", ".netrc"} //nolint:gochecknoglobals // a constant

// maxServiceAccount bounds a key file of Google, in bytes; they have about 2,400.
const maxServiceAccount = 16 << 10

// looksSecret reports whether the file may hold a credential.
func (t *settler) looksSecret(f File) bool {
	name := strings.ToLower(path.Base(f.Path))
	if name == ".env" || strings.HasPrefix(name, ".env.") || name == "credentials.json" || name == ".npmrc" || name == "google-services.json" || name == "googleservice-info.plist" {
		return !strings.HasSuffix(name, ".example") && !strings.HasSuffix(name, ".sample")
	}
	for _, suffix := range secretSuffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	if !strings.HasSuffix(name, ".json") || f.Size > maxServiceAccount || f.Link != "" {
		return false
	}
	data, err := t.disk.ReadFile(filepath.FromSlash(f.Path))
	var key struct {
		Type string `json:"type"`
	}
	return err == nil && json.Unmarshal(data, &key) == nil && key.Type == "service_account"
}

// warnOfNames tells of files that often hold secrets of one machine, and of names that a Mac does
// not tell apart.
func (s *Source) warnOfNames(l *lister) {
	folded := make(map[string]string, len(s.Files))
	var local, same []string
	for _, f := range s.Files {
		base := path.Base(f.Path)
		if strings.HasPrefix(base, ".env") && strings.HasSuffix(base, ".local") && f.origin != letIn {
			local = append(local, f.Path)
		}
		lower := strings.ToLower(f.Path)
		if other, ok := folded[lower]; ok {
			same = append(same, other+" and "+f.Path)
		}
		folded[lower] = f.Path
	}
	if len(local) > 0 {
		l.warn("the archive includes %s. If that holds secrets, add it to .gitignore (or to %s, where there is one)", join(local), EASIgnore)
	}
	if len(same) > 0 {
		l.warn("%s differ only in case: a worker whose file system ignores case, as Macs do, refuses the build. Rename one", join(same))
	}
}

// A Git LFS pointer is a text of less than 1,024 bytes that begins so. The shortest has 120.
const (
	lfsPointer     = "version https://git-lfs.github.com/spec/v1\n"
	minLFS, maxLFS = 100, 1024
)

// warnOfContent tells of files whose content is not there.
func (s *Source) warnOfContent(l *lister, disk *os.Root) {
	var pointers []string
	for _, f := range s.Files {
		if f.Link != "" || f.Size < minLFS || f.Size >= maxLFS {
			continue
		}
		data, err := disk.ReadFile(filepath.FromSlash(f.Path))
		if err == nil && bytes.HasPrefix(data, []byte(lfsPointer)) {
			pointers = append(pointers, f.Path)
		}
	}
	if len(pointers) > 0 {
		l.warn("Git LFS has not fetched %s: only pointers would be sent. Fetch the content: git lfs pull", join(pointers))
	}
}
