package signing

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

const (
	// MaxBytes bounds an upload and a bundle, packed.
	MaxBytes = 10 << 20
	// MaxUnpacked bounds what all entries of a bundle unpack to, in bytes.
	MaxUnpacked = 50 << 20
	// maxEntries is far above the handful of entries that a real bundle has.
	maxEntries = 1000
	// maxPassword is far above any password.
	maxPassword = 64 << 10

	passwordName = "password.txt"
	identityExt  = ".p12"
	otherExt     = ".pfx" // the same format, as Windows names it
	profileExt   = ".mobileprovision"
)

// Bundle is a checked bundle. It refers to the bytes that it was read from, which
// must not change while it is used; then it is safe for concurrent use.
type Bundle struct {
	// Identity is the .p12 file.
	Identity File
	// Password opens it; empty if there is none.
	Password string
	// Profiles are the provisioning profiles in the bundle's order; may be nil.
	Profiles []File
	// Warnings are sentences about files that look like parts of a bundle and are not used.
	Warnings []string

	// identities and passwords are the names of all such files.
	identities, passwords []string
}

// File is an entry of a bundle that was unpacked once to check it.
type File struct {
	// Size is in bytes, unpacked.
	Size  int64
	entry *zip.File
}

// isOther reports whether the file is an identity that workers of API v1 do not know by its name.
func (f File) isOther() bool { return strings.HasSuffix(strings.ToLower(f.entry.Name), otherExt) }

// WriteTo writes the unpacked bytes.
func (f File) WriteTo(w io.Writer) (int64, error) {
	r, err := f.entry.Open()
	if err != nil {
		return 0, fmt.Errorf("unpack %.100q: %w", f.entry.Name, err)
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err != nil {
		return n, fmt.Errorf("unpack %.100q: %w", f.entry.Name, err)
	}
	return n, nil
}

// Read checks a bundle and finds its parts. It returns ErrFormat, ErrDamaged, ErrUnsafe,
// ErrTooLarge or ErrNoIdentity.
func Read(data []byte) (*Bundle, error) {
	entries, err := list(data)
	if err != nil {
		return nil, err
	}
	b, left := &Bundle{}, int64(MaxUnpacked)
	for _, e := range entries {
		size, err := b.add(e, left)
		if err != nil {
			return nil, err
		}
		left -= size
	}
	if b.Identity.entry == nil {
		return nil, fmt.Errorf("%w: put one into the zip, in any folder", ErrNoIdentity)
	}
	b.warn()
	return b, nil
}

// warn names what is not used.
func (b *Bundle) warn() {
	used := b.Identity.entry.Name
	others := slices.DeleteFunc(b.identities, func(name string) bool { return name == used })
	if len(others) > 0 {
		b.Warnings = append(b.Warnings, fmt.Sprintf("The certs have %d identities: %.100q is used, %s not. Leave one in the zip.",
			len(others)+1, used, quoted(others)))
	}
	if len(b.passwords) > 0 && b.Password == "" {
		b.Warnings = append(b.Warnings, fmt.Sprintf("The password in %s of the certs is not used: only a %s at the top of the zip is. Zip the files, not their folder.",
			quoted(b.passwords), passwordName))
	}
}

// quoted lists at most three names.
func quoted(names []string) string {
	var all []string
	for i, n := range names {
		if i == 3 {
			return strings.Join(all, ", ") + ", ..."
		}
		all = append(all, fmt.Sprintf("%.100q", n))
	}
	return strings.Join(all, ", ")
}

// list returns the entries of a zip after it has checked their names, number and declared sizes.
func list(data []byte) ([]*zip.File, error) {
	r := bytes.NewReader(data)
	switch {
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d MB", ErrTooLarge, len(data), MaxBytes>>20)
	case archive.Detect(data) != archive.Zip:
		return nil, ErrFormat
	}
	limits := archive.Limits{Entries: maxEntries, EntryBytes: MaxUnpacked, TotalBytes: MaxUnpacked}
	if _, err := archive.Inspect(context.Background(), r, r.Size(), limits); err != nil {
		return nil, translate(err)
	}
	z, err := zip.NewReader(r, r.Size())
	if err != nil {
		return nil, translate(err)
	}
	for _, e := range z.File {
		if strings.Contains(e.Name, "..") { // stricter than archive: anywhere, as the contract has it
			return nil, fmt.Errorf(`%w %.100q: the name holds ".."`, ErrUnsafe, e.Name)
		}
	}
	return z.File, nil
}

func translate(err error) error {
	kind := ErrDamaged
	switch {
	case errors.Is(err, archive.ErrUnsafe):
		kind = ErrUnsafe
	case errors.Is(err, archive.ErrTooLarge):
		kind = ErrTooLarge
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// add unpacks an entry of at most left bytes and stores it if it is part of a bundle.
func (b *Bundle) add(e *zip.File, left int64) (size int64, err error) {
	switch {
	case e.Mode().IsDir():
		return 0, nil
	case e.Mode().Type()&fs.ModeSymlink != 0:
		return 0, fmt.Errorf("%w %.100q: it is a link", ErrUnsafe, e.Name)
	}
	var password bytes.Buffer
	isPassword := path.Clean(e.Name) == passwordName
	if isPassword {
		size, err = unpack(e, left, &limited{&password, maxPassword})
	} else {
		size, err = unpack(e, left, io.Discard)
	}
	if err != nil {
		return 0, err
	}
	switch name := strings.ToLower(path.Base(e.Name)); {
	case isPassword:
		b.Password = trim(password.String())
	case strings.HasPrefix(name, "._"): // what macOS keeps beside each file of that name
	case name == passwordName:
		b.passwords = append(b.passwords, e.Name)
	case strings.HasSuffix(name, identityExt):
		b.Identity = File{size, e}
		b.identities = append(b.identities, e.Name)
	case strings.HasSuffix(name, otherExt):
		if b.Identity.entry == nil || b.Identity.isOther() {
			b.Identity = File{size, e}
		}
		b.identities = append(b.identities, e.Name)
	case strings.HasSuffix(name, profileExt):
		b.Profiles = append(b.Profiles, File{size, e})
	}
	return size, nil
}

// trim removes white space and the byte order mark of Windows editors.
func trim(password string) string {
	return strings.TrimSpace(strings.TrimPrefix(password, "\ufeff"))
}

// unpack reads an entry to its end, whatever its header declares.
func unpack(e *zip.File, left int64, to io.Writer) (int64, error) {
	r, err := e.Open()
	if err != nil {
		return 0, translate(err)
	}
	defer r.Close()
	n, err := io.Copy(to, io.LimitReader(r, left+1))
	switch {
	case errors.Is(err, ErrTooLarge):
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("%w: unpack %.100q: %w", ErrDamaged, e.Name, err)
	case n > left:
		return 0, fmt.Errorf("%w: they unpack to more than %d MB", ErrTooLarge, MaxUnpacked>>20)
	}
	return n, nil
}

// limited accepts at most left bytes.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, passwordName, maxPassword)
	}
	return l.to.Write(p)
}
