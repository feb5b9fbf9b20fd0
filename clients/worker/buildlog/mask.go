package buildlog

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// MinSecret is the length in bytes from which a value is hidden. Shorter values ("1", "dev", "test") would black out half of the
// log and hide nothing.
const MinSecret = 6

const (
	// shapeReach is how far a token's shape must be looked at to know it; longer ones are cut off with their line.
	shapeReach = 4 << 10
)

// masked stands where a secret was.
const masked = "[secret]"

// Mask replaces secrets: values that are declared, and whatever has the shape of a well-known token. The zero value replaces
// nothing. It is safe for concurrent use.
//
// Text is looked at once. Two bytes decide whether a secret could begin at a place, which nearly always they do not; where they
// do, the few candidates that begin with them are compared, the longest first.
type Mask struct{ t *table }

type table struct {
	// pairs has a bit for each two bytes that some secret begins with.
	pairs    [1 << 16 / 64]uint64
	literals map[uint16][]string
	shapes   map[uint16][]shape
	// longest is how far behind its beginning a secret may have to be looked at.
	longest int
}

// NewMask hides each value, and each line of one that has several, also as they look in JSON, in a URL, in base64 and in
// hexadecimal; values under MinSecret bytes are not hidden. Tokens of well-known shapes are hidden besides.
func NewMask(values []string) Mask {
	t := &table{literals: map[uint16][]string{}, shapes: map[uint16][]shape{}, longest: shapeReach}
	for _, s := range shapes() {
		k := pair(s.anchor, 0)
		t.shapes[k] = append(t.shapes[k], s)
		t.mark(k)
	}
	for _, s := range literals(values) {
		k := pair(s, 0)
		t.literals[k] = append(t.literals[k], s)
		t.mark(k)
		t.longest = max(t.longest, len(s))
	}
	return Mask{t}
}

// literals are what the values look like in a log, the longest first: one may begin with another.
func literals(values []string) []string {
	var all []string
	add := func(s string) {
		if s = strings.TrimSpace(s); len(s) >= MinSecret {
			all = append(all, s)
		}
	}
	for _, v := range values {
		for line := range strings.Lines(v) {
			add(line)
		}
		if len(strings.TrimSpace(v)) < MinSecret {
			continue
		}
		// A value from a file ends with a line end, which may or may not be encoded with it.
		for _, whole := range []string{v, strings.TrimSpace(v)} {
			for _, encoded := range encodings(whole) {
				add(encoded)
			}
			for _, line := range wrapped(whole) {
				add(line)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(all)
}

// encodings returns a value as programs print it: in a URL, in JSON, in hexadecimal and in base64, also inside of a longer text
// that is encoded as a whole, such as "user:password".
func encodings(v string) []string {
	query := url.QueryEscape(v)
	path := strings.ReplaceAll(query, "+", "%20")
	all := []string{query, path, lowerEscapes(query), lowerEscapes(path), url.PathEscape(v), hex.EncodeToString([]byte(v)), strings.ToUpper(hex.EncodeToString([]byte(v)))}
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(html)
		if err := enc.Encode(v); err == nil {
			quoted := strings.TrimSpace(b.String())
			all = append(all, quoted[1:len(quoted)-1])
		}
	}
	for before := range 3 {
		padded := slices.Concat(make([]byte, before), []byte(v))
		// The characters at both ends hold bits of the neighbours too.
		from, to := (before*8+5)/6, len(padded)*8/6
		if before == 0 {
			to = (len(padded)*8 + 5) / 6
		}
		encoded := base64.RawStdEncoding.EncodeToString(padded)[from:to]
		all = append(all, encoded, strings.NewReplacer("+", "-", "/", "_").Replace(encoded))
		if before == 0 {
			all = append(all, encoded[:len(padded)*8/6])
		}
	}
	return all
}

// wrapped returns the lines of a value in base64 as programs break it: 76 characters (base64, MIME) or 64 (openssl, PEM).
func wrapped(v string) (lines []string) {
	encoded := base64.StdEncoding.EncodeToString([]byte(v))
	for _, width := range []int{76, 64} {
		if len(encoded) <= width {
			continue
		}
		for from := 0; from < len(encoded); from += width {
			lines = append(lines, encoded[from:min(from+width, len(encoded))])
		}
	}
	return lines
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

func pair[T string | []byte](s T, i int) uint16 { return uint16(s[i])<<8 | uint16(s[i+1]) }

func (t *table) mark(k uint16) { t.pairs[k>>6] |= 1 << (k & 63) }

// Text returns s without secrets.
func (m Mask) Text(s string) string {
	text, _, _ := m.scan(s, len(s))
	return text
}

// found is a secret in a text: what is to be replaced, and, if it goes to the end of the text, which bytes would continue it.
type found struct {
	from, to int
	more     *charset
}

// scan replaces the secrets that begin before limit. It gives the text up to where it came, limit or the end of a secret that
// reaches beyond, and where that is; and what would belong to a secret at the very end of s.
func (m Mask) scan(s string, limit int) (text string, end int, more *charset) {
	if m.t == nil {
		return s[:limit], limit, nil
	}
	var out []byte
	done, i := 0, 0
	for i < limit && i+1 < len(s) {
		k := pair(s, i)
		if m.t.pairs[k>>6]&(1<<(k&63)) == 0 {
			i++
			continue
		}
		f, ok := m.t.at(s, i, k)
		if !ok || f.from < done {
			i++
			continue
		}
		out = append(append(out, s[done:f.from]...), masked...)
		i, done = max(f.to, i+1), f.to
		if f.to == len(s) {
			more = f.more
		}
	}
	end = max(limit, done)
	if done == 0 && out == nil {
		return s[:end], end, nil
	}
	return string(append(out, s[done:end]...)), end, more
}

// at looks for a secret that begins, or whose anchor begins, at i.
func (t *table) at(s string, i int, k uint16) (found, bool) {
	for _, lit := range t.literals[k] {
		if strings.HasPrefix(s[i:], lit) {
			return found{from: i, to: i + len(lit)}, true
		}
	}
	for _, sh := range t.shapes[k] {
		if strings.HasPrefix(s[i:], sh.anchor) {
			if f, ok := sh.match(s, i); ok {
				return f, true
			}
		}
	}
	return found{}, false
}

// reach is how far behind the beginning of a secret has to be looked.
func (m Mask) reach() int {
	if m.t == nil {
		return 0
	}
	return m.t.longest
}
