package signing_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/rand"
	"errors"
	"hash/crc32"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/signing"
)

// entry is one file of a zip.
type entry struct{ name, data string }

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	return zipWith(t, func(w *zip.Writer) {
		for _, e := range entries {
			h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
			if len(e.data) > 1<<20 { // only noise is as long: it would take its time and come out as it was
				h.Method = zip.Store
			}
			put(t, w, h, e.data)
		}
	})
}

func zipWith(t testing.TB, fill func(*zip.Writer)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func put(t testing.TB, w *zip.Writer, h *zip.FileHeader, data string) {
	t.Helper()
	out, err := w.CreateHeader(h)
	if err == nil {
		_, err = out.Write([]byte(data))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// p12 is as long as its header says.
func p12(n int) []byte {
	head := []byte{0x30, 0x82, byte(n >> 8), byte(n), 0x02, 0x01, 0x03}
	return append(head, bytes.Repeat([]byte{0x5a}, n-3)...)
}

// contents is a bundle as text.
type contents struct {
	Identity, Password string
	Profiles           []string
}

func read(t testing.TB, data []byte) contents {
	t.Helper()
	b, err := signing.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	c := contents{Identity: text(t, b.Identity), Password: b.Password}
	for _, p := range b.Profiles {
		c.Profiles = append(c.Profiles, text(t, p))
	}
	return c
}

func text(t testing.TB, f signing.File) string {
	t.Helper()
	var buf bytes.Buffer
	if n, err := f.WriteTo(&buf); err != nil || n != f.Size {
		t.Fatalf("WriteTo = %d, %v, want %d", n, err, f.Size)
	}
	return buf.String()
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []entry
		want    contents
	}{
		"usual": {
			[]entry{{"dist.p12", "P"}, {"password.txt", "secret\n"}, {"a.mobileprovision", "A"}, {"b.mobileprovision", "B"}},
			contents{"P", "secret", []string{"A", "B"}},
		},
		"in folders":             {[]entry{{"x/y/app.p12", "P"}, {"z/a.mobileprovision", "A"}, {"readme.txt", "?"}}, contents{"P", "", []string{"A"}}},
		"password only at top":   {[]entry{{"a.p12", "P"}, {"x/password.txt", "no"}}, contents{"P", "", nil}},
		"password trimmed":       {[]entry{{"a.p12", "P"}, {"password.txt", " \tp w \r\n"}}, contents{"P", "p w", nil}},
		"password of an editor":  {[]entry{{"a.p12", "P"}, {"password.txt", "\ufeffpw\r\n"}}, contents{"P", "pw", nil}},
		"empty password":         {[]entry{{"a.p12", "P"}, {"password.txt", ""}}, contents{"P", "", nil}},
		"the last p12":           {[]entry{{"a.p12", "P"}, {"b.p12", "Q"}}, contents{"Q", "", nil}},
		"a pfx":                  {[]entry{{"a.pfx", "P"}}, contents{"P", "", nil}},
		"a p12 before a pfx":     {[]entry{{"a.p12", "P"}, {"b.pfx", "Q"}}, contents{"P", "", nil}},
		"a p12 after a pfx":      {[]entry{{"a.PFX", "P"}, {"b.p12", "Q"}}, contents{"Q", "", nil}},
		"capitals":               {[]entry{{"A.P12", "P"}, {"B.MobileProvision", "A"}}, contents{"P", "", []string{"A"}}},
		"as macOS packs":         {[]entry{{"a.p12", "P"}, {"__MACOSX/._a.p12", "junk"}, {"__MACOSX/._b.mobileprovision", "junk"}}, contents{"P", "", nil}},
		"folders named as files": {[]entry{{"a.p12/", ""}, {"a.p12/b.p12", "P"}}, contents{"P", "", nil}},
		"as zip -r . packs":      {[]entry{{"./a.p12", "P"}, {"./password.txt", "pw"}}, contents{"P", "pw", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, read(t, zipOf(t, c.entries...))); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

// noise does not compress.
func noise(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func zeros(n int) string { return strings.Repeat("0", n) }

// bulk is how many bytes the entries of bulky zips unpack to: all but 100 of what is allowed.
const bulk = signing.MaxUnpacked - 100

// packedBulk is bulk zero bytes, deflated once for all tests.
var packedBulk = sync.OnceValues(func() ([]byte, error) {
	var packed bytes.Buffer
	f, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err == nil {
		_, err = f.Write(make([]byte, bulk))
	}
	if err == nil {
		err = f.Close()
	}
	return packed.Bytes(), err
})

// bulky has a .p12 and, under the names given, entries of bulk bytes that declare another size.
func bulky(t testing.TB, declared uint64, names ...string) []byte {
	t.Helper()
	packed, err := packedBulk()
	if err != nil {
		t.Fatal(err)
	}
	return zipWith(t, func(w *zip.Writer) {
		put(t, w, &zip.FileHeader{Name: "a.p12"}, "P")
		for _, name := range names {
			raw, err := w.CreateRaw(&zip.FileHeader{
				Name: name, Method: zip.Deflate, CompressedSize64: uint64(len(packed)), UncompressedSize64: declared,
				CRC32: crc32.ChecksumIEEE(make([]byte, bulk)),
			})
			if err == nil {
				_, err = raw.Write(packed)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func link(t testing.TB) []byte {
	t.Helper()
	return zipWith(t, func(w *zip.Writer) {
		h := &zip.FileHeader{Name: "a.p12"}
		h.SetMode(fs.ModeSymlink | 0o777)
		put(t, w, h, "b.p12")
	})
}

func many(n int) (entries []entry) {
	for i := range n {
		entries = append(entries, entry{strings.Repeat("a", i%200+1) + strings.Repeat("b", i/200), ""})
	}
	return append(entries, entry{"a.p12", "P"})
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	ok := entry{"ok.p12", "P"}
	whole := zipOf(t, ok)
	broken := bytes.Replace(zipWith(t, func(w *zip.Writer) { put(t, w, &zip.FileHeader{Name: "a.p12"}, "CONTENT") }), []byte("CONTENT"), []byte("CONTEND"), 1)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":            {nil, signing.ErrFormat},
		"text":               {[]byte("PK but no zip"), signing.ErrFormat},
		"a p12":              {p12(300), signing.ErrFormat},
		"cut":                {whole[:len(whole)-10], signing.ErrDamaged},
		"a wrong byte":       {broken, signing.ErrDamaged},
		"an empty zip":       {zipOf(t), signing.ErrNoIdentity},
		"no p12":             {zipOf(t, entry{"password.txt", "x"}), signing.ErrNoIdentity},
		"only what macOS":    {zipOf(t, entry{"__MACOSX/._a.p12", "x"}), signing.ErrNoIdentity},
		"dot dot":            {zipOf(t, ok, entry{"../evil.mobileprovision", "x"}), signing.ErrUnsafe},
		"dot dot p12":        {zipOf(t, entry{"../evil.p12", "x"}), signing.ErrUnsafe},
		"dot dot inside":     {zipOf(t, ok, entry{"a/../b", "x"}), signing.ErrUnsafe},
		"dot dot in a name":  {zipOf(t, entry{"a..p12", "x"}), signing.ErrUnsafe},
		"absolute":           {zipOf(t, ok, entry{"/evil.mobileprovision", "x"}), signing.ErrUnsafe},
		"backslash":          {zipOf(t, ok, entry{`a\evil.mobileprovision`, "x"}), signing.ErrUnsafe},
		"same name twice":    {zipOf(t, ok, entry{"password.txt", "x"}, entry{"password.txt", "y"}), signing.ErrUnsafe},
		"a link":             {link(t), signing.ErrUnsafe},
		"over 50 MB":         {bulky(t, 51<<20, "b.mobileprovision"), signing.ErrTooLarge},
		"in two parts":       {bulky(t, 30<<20, "b.mobileprovision", "c.bin"), signing.ErrTooLarge},
		"a size that lies":   {bulky(t, 10, "b.p12"), signing.ErrDamaged},
		"a lie aside":        {bulky(t, 10, "c.bin"), signing.ErrDamaged},
		"many entries":       {zipOf(t, many(1000)...), signing.ErrTooLarge},
		"a long password":    {zipOf(t, ok, entry{"password.txt", zeros(64<<10 + 1)}), signing.ErrTooLarge},
		"over 10 MB, packed": {zipOf(t, ok, entry{"b.bin", noise(t, 11<<20)}), signing.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := signing.Read(c.data); !errors.Is(err, c.want) {
				t.Errorf("Read = %v, want %v", err, c.want)
			}
			if _, err := signing.Pack(c.data, nil); err == nil && name != "a p12" {
				t.Error("Pack takes it")
			}
		})
	}
}

func TestReadUpToTheLimits(t *testing.T) {
	t.Parallel()
	b, err := signing.Read(bulky(t, bulk, "b.mobileprovision"))
	if err != nil || len(b.Profiles) != 1 || b.Profiles[0].Size != bulk {
		t.Errorf("Read = %+v, %v", b, err)
	}
	c := read(t, zipOf(t, entry{"a.p12", "P"}, entry{"password.txt", zeros(64 << 10)}))
	if len(c.Password) != 64<<10 {
		t.Errorf("%d bytes of password", len(c.Password))
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	bare, ber := p12(300), append([]byte{0x30, 0x80, 0x02, 0x01, 0x03}, "content\x00\x00"...)
	short := []byte{0x30, 0x05, 0x02, 0x01, 0x03, 0x30, 0x00}
	zipped := zipOf(t, entry{"a.p12", "P"}, entry{"password.txt", "pw"}, entry{"profile.mobileprovision", "A"})
	for name, c := range map[string]struct {
		certs   []byte
		profile string
		want    contents
	}{
		"bare":                       {bare, "", contents{string(bare), "", nil}},
		"bare with a profile":        {bare, "PROFILE", contents{string(bare), "", []string{"PROFILE"}}},
		"bare, BER":                  {ber, "", contents{string(ber), "", nil}},
		"bare, short":                {short, "", contents{string(short), "", nil}},
		"zip":                        {zipped, "", contents{"P", "pw", []string{"A"}}},
		"zip with another profile":   {zipped, "B", contents{"P", "pw", []string{"A", "B"}}},
		"zip with its profile again": {zipped, "A", contents{"P", "pw", []string{"A"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := signing.Pack(c.certs, []byte(c.profile))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, read(t, got)); diff != "" {
				t.Errorf("Pack (-want +got):\n%s", diff)
			}
			again, err := signing.Pack(c.certs, []byte(c.profile))
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("Pack again gives other bytes, %v", err)
			}
			if strings.HasPrefix(name, "zip") && len(c.want.Profiles) == 1 && !bytes.Equal(got, c.certs) {
				t.Error("a zip that lacks nothing was changed")
			}
		})
	}
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		certs, profile []byte
		want           error
	}{
		"nothing":           {nil, nil, signing.ErrDamaged},
		"a profile alone":   {nil, []byte("A"), signing.ErrDamaged},
		"text":              {[]byte("hello"), nil, signing.ErrFormat},
		"a certificate":     {[]byte{0x30, 0x82, 0x01, 0x00, 0x30, 0x82}, nil, signing.ErrFormat},
		"a private key":     {[]byte{0x30, 0x05, 0x02, 0x01, 0x00, 0x30, 0x00}, nil, signing.ErrFormat},
		"one byte":          {[]byte{0x30}, nil, signing.ErrFormat},
		"a length cut":      {[]byte{0x30, 0x84, 0x01}, nil, signing.ErrFormat},
		"a length too long": {append([]byte{0x30, 0x85, 0, 0, 0, 0, 3}, 2, 1, 3), nil, signing.ErrFormat},
		"a p12 cut":         {p12(300)[:200], nil, signing.ErrDamaged},
		"over 10 MB":        {make([]byte, signing.MaxBytes+1), nil, signing.ErrTooLarge},
		"over 10 MB in two": {p12(300), make([]byte, signing.MaxBytes), signing.ErrTooLarge},
		"just over, packed": {p12(300), []byte(noise(t, signing.MaxBytes-310)), signing.ErrTooLarge},
		"over 50 MB in two": {bulky(t, bulk, "b.bin"), []byte(noise(t, 200)), signing.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := signing.Pack(c.certs, c.profile); !errors.Is(err, c.want) {
				t.Errorf("Pack = %v, want %v", err, c.want)
			}
		})
	}
}

// TestWarnings: what looks like a part of a bundle and is not used is named.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []entry
		want    []string
	}{
		"usual":            {[]entry{{"dist.p12", "P"}, {"password.txt", "secret"}, {"__MACOSX/._password.txt", "x"}, {"__MACOSX/._dist.p12", "x"}}, nil},
		"a zipped folder":  {[]entry{{"certs/dist.p12", "P"}, {"certs/password.txt", "secret"}}, []string{`"certs/password.txt"`}},
		"password at both": {[]entry{{"a.p12", "P"}, {"password.txt", "secret"}, {"old/password.txt", "x"}}, nil},
		"two identities":   {[]entry{{"a.p12", "P"}, {"b.p12", "Q"}}, []string{`2 identities: "b.p12" is used, "a.p12" not`}},
		"many identities": {
			[]entry{{"a.p12", "P"}, {"b.pfx", "Q"}, {"c.p12", "R"}, {"d.p12", "S"}, {"e.p12", "T"}},
			[]string{`5 identities: "e.p12" is used, "a.p12", "b.pfx", "c.p12", ... not`},
		},
	} {
		b, err := signing.Read(zipOf(t, c.entries...))
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Warnings) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, b.Warnings, c.want)
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(b.Warnings[i], w) {
				t.Errorf("%s: %q, want %q", name, b.Warnings[i], w)
			}
		}
	}
}

// TestPackNamesAPfx: workers that take the zip apart look for a .p12.
func TestPackNamesAPfx(t *testing.T) {
	t.Parallel()
	for _, profile := range [][]byte{nil, []byte("profile")} {
		packed, err := signing.Pack(zipOf(t, entry{"x/dist.pfx", "P"}, entry{"password.txt", "pw"}), profile)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		if err != nil || z.File[0].Name != "x/dist.p12" {
			t.Errorf("the zip has %v, %v", z.File[0].Name, err)
		}
		if got := read(t, packed); got.Identity != "P" || got.Password != "pw" || len(got.Profiles) != min(1, len(profile)) {
			t.Errorf("Pack = %+v", got)
		}
	}
}
