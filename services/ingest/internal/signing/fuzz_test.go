package signing_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/signing"
)

// FuzzPack feeds damaged and hostile uploads: what is accepted reads back as what was sent, within
// the limits.
func FuzzPack(f *testing.F) {
	usual := []entry{{"dist.p12", "P"}, {"password.txt", "secret\n"}, {"x/a.mobileprovision", "A"}}
	f.Add(zipOf(f, usual...), []byte(nil))
	f.Add(zipOf(f, usual...), []byte("B"))
	f.Add(zipOf(f, entry{"../evil.p12", "x"}), []byte("B"))
	f.Add(zipOf(f, entry{`a\b.p12`, "x"}, entry{"/c.p12", "x"}), []byte(nil))
	f.Add(p12(300), []byte("A"))
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x03, 0x00, 0x00}, []byte(nil))
	f.Add(link(f), []byte(nil))
	f.Fuzz(func(t *testing.T, certs, profile []byte) {
		before := slices.Concat(certs, profile)
		packed, err := signing.Pack(certs, profile)
		if !bytes.Equal(before, slices.Concat(certs, profile)) {
			t.Fatal("Pack changed its input")
		}
		if err != nil {
			return
		}
		c := read(t, packed)
		total := len(c.Identity) + len(c.Password)
		for _, p := range c.Profiles {
			total += len(p)
		}
		if len(packed) > signing.MaxBytes || total > signing.MaxUnpacked {
			t.Errorf("accepted %d bytes that unpack to %d", len(packed), total)
		}
		if len(profile) > 0 && !slices.Contains(c.Profiles, string(profile)) {
			t.Error("the profile is lost")
		}
		if certs[0] == 0x30 && c.Identity != string(certs) {
			t.Error("the PKCS#12 file is not what was sent")
		}
		if again, err := signing.Pack(packed, profile); err != nil || !bytes.Equal(again, packed) {
			t.Errorf("a bundle packed again differs, %v", err)
		}
	})
}

// FuzzRead: whatever a stored bundle holds, reading it neither panics nor gives more than the
// limit.
func FuzzRead(f *testing.F) {
	f.Add(zipOf(f, entry{"dist.p12", "P"}, entry{"password.txt", "secret\n"}, entry{"x/a.mobileprovision", "A"}))
	f.Add(zipOf(f, entry{"a.p12/", ""}, entry{"./password.txt", " "}))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := signing.Read(data); err == nil {
			size := b.Identity.Size
			for _, p := range b.Profiles {
				size += p.Size
			}
			if size > signing.MaxUnpacked {
				t.Errorf("it unpacks to %d bytes", size)
			}
			read(t, data)
		}
	})
}
