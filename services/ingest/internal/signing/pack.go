package signing

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/archive"
)

// Pack returns the bundle of a submitter's certs, a zip or a single PKCS#12 file, and of a
// provisioning profile sent beside them (nil or empty: none). Equal input gives equal bytes; a
// complete zip is returned unchanged, but that a .pfx file is named .p12 if there is none. It returns ErrFormat, ErrDamaged, ErrUnsafe, ErrTooLarge or
// ErrNoIdentity.
func Pack(certs, profile []byte) ([]byte, error) {
	switch {
	case len(certs) == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrDamaged)
	case len(certs)+len(profile) > MaxBytes:
		return nil, fmt.Errorf("%w: the limit is %d MB", ErrTooLarge, MaxBytes>>20)
	case archive.Detect(certs) == archive.Zip:
		return withProfile(certs, profile)
	}
	if err := checkPKCS12(certs); err != nil {
		return nil, err
	}
	return pack(func(w *zip.Writer) error {
		return errors.Join(add(w, "certificate"+identityExt, certs), addProfile(w, "profile"+profileExt, profile))
	})
}

// withProfile checks a zip and adds the profile, unless the zip contains it already.
func withProfile(certs, profile []byte) ([]byte, error) {
	b, err := Read(certs)
	if err != nil {
		return nil, err
	}
	has, err := b.has(profile)
	if err != nil || has && !b.Identity.isOther() {
		return certs, err
	}
	entries, err := list(certs)
	if err != nil {
		return nil, err
	}
	packed, err := pack(func(w *zip.Writer) error {
		for _, e := range entries {
			if err := copyEntry(w, e, b.Identity); err != nil {
				return fmt.Errorf("copy %.100q: %w", e.Name, err)
			}
		}
		if has {
			return nil
		}
		return addProfile(w, freeName(entries), profile)
	})
	if err != nil {
		return nil, err
	}
	if _, err := Read(packed); err != nil { // it may have come over a limit
		return nil, err
	}
	return packed, nil
}

// copyEntry copies an entry as it is packed. Workers of API v1 look for an identity with the name .p12.
func copyEntry(w *zip.Writer, e *zip.File, identity File) error {
	if e.Name != identity.entry.Name || !identity.isOther() {
		return w.Copy(e)
	}
	packed, err := e.OpenRaw()
	if err != nil {
		return err
	}
	header := e.FileHeader
	header.Name = e.Name[:len(e.Name)-len(otherExt)] + identityExt
	out, err := w.CreateRaw(&header)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, packed)
	return err
}

// has reports whether the bundle contains the profile, or there is none.
func (b *Bundle) has(profile []byte) (bool, error) {
	if len(profile) == 0 {
		return true, nil
	}
	for _, p := range b.Profiles {
		if p.Size != int64(len(profile)) {
			continue
		}
		var known bytes.Buffer
		if _, err := p.WriteTo(&known); err != nil {
			return false, err
		}
		if bytes.Equal(known.Bytes(), profile) {
			return true, nil
		}
	}
	return false, nil
}

// freeName returns an unused entry name for the profile.
func freeName(entries []*zip.File) string {
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name] = true
	}
	name := "profile" + profileExt
	for i := 2; taken[name]; i++ {
		name = "profile-" + strconv.Itoa(i) + profileExt
	}
	return name
}

func pack(fill func(*zip.Writer) error) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	if err := errors.Join(fill(w), w.Close()); err != nil {
		return nil, fmt.Errorf("pack the certs: %w", err)
	}
	if out.Len() > MaxBytes {
		return nil, fmt.Errorf("%w: the limit is %d MB", ErrTooLarge, MaxBytes>>20)
	}
	return out.Bytes(), nil
}

func addProfile(w *zip.Writer, name string, profile []byte) error {
	if len(profile) == 0 {
		return nil
	}
	return add(w, name, profile)
}

// add stores data without compression, since encrypted and signed data does not compress, and
// without a time, so that equal input gives equal bytes.
func add(w *zip.Writer, name string, data []byte) error {
	out, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
	if err == nil {
		_, err = out.Write(data)
	}
	return err
}
