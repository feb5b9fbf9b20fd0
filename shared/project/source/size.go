package source

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Bytes is the size of all files.
func (s *Source) Bytes() (n int64) {
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}

// Folder is a directory with the files in and below it.
type Folder struct {
	// Path is relative to the root, with slashes and one at the end.
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
}

// Largest returns the folders that hold most of the bytes, at most n and the largest first. A folder
// whose bytes are mostly in one below it is named by that one.
func (s *Source) Largest(n int) []Folder {
	all := map[string]*Folder{}
	for _, f := range s.Files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if all[dir] == nil {
				all[dir] = &Folder{Path: dir + "/"}
			}
			all[dir].Bytes += f.Size
			all[dir].Files++
		}
	}
	below := map[string][]*Folder{}
	for dir, f := range all {
		parent := path.Dir(dir)
		below[parent] = append(below[parent], f)
	}
	var top []Folder
	for _, f := range below["."] {
		top = append(top, *narrow(f, below))
	}
	slices.SortFunc(top, func(a, b Folder) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path)) })
	return top[:min(n, len(top))]
}

// narrow follows the folders that hold at least four fifths of the one above.
func narrow(f *Folder, below map[string][]*Folder) *Folder {
	for _, b := range below[strings.TrimSuffix(f.Path, "/")] {
		if f.Bytes > 0 && b.Bytes >= f.Bytes/5*4 {
			return narrow(b, below)
		}
	}
	return f
}
