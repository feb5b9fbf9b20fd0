package buildlog

import "strings"

// shape is a token that is known by what it looks like. Its anchor begins it, or stands before it.
type shape struct {
	anchor string
	match  func(s string, at int) (found, bool)
}

// charset is a set of bytes.
type charset [256]bool

func setOf(chars string) *charset {
	var c charset
	for i := range len(chars) {
		if i+2 < len(chars) && chars[i+1] == '-' {
			for b := int(chars[i]); b <= int(chars[i+2]); b++ {
				c[b] = true
			}
		}
		c[chars[i]] = true
	}
	return &c
}

// run is how far the set's bytes go from i on.
func (c *charset) run(s string, i int) int {
	for i < len(s) && c[s[i]] {
		i++
	}
	return i
}

//nolint:gochecknoglobals // constants
var (
	upperDigits = setOf("A-Z0-9")
	alnum       = setOf("A-Za-z0-9")
	word        = setOf("A-Za-z0-9_")
	wordDash    = setOf("-A-Za-z0-9_")
	base64Set   = setOf("A-Za-z0-9+/=")
	bearer      = setOf("-A-Za-z0-9._~+/=")
	hexSet      = setOf("0-9a-fA-F")
	userInfo    = setOf("-A-Za-z0-9._~%!$&()*+,;=:")
)

// shapes are those that are known. Each says how many bytes its secret part has at the least, so that words of a text
// ("npm_config", "AKIA") are none.
func shapes() []shape {
	all := []shape{
		prefixed("github_pat_", word, 22), prefixed("npm_", alnum, 36), prefixed("glpat-", wordDash, 20),
		prefixed("xapp-", wordDash, 10), prefixed("AIza", wordDash, 35), prefixed("ya29.", wordDash, 20),
		prefixed("sk_live_", alnum, 16), prefixed("rk_live_", alnum, 16), prefixed("sntrys_", base64Set, 30), prefixed("sntryu_", alnum, 30),
		prefixed("dop_v1_", hexSet, 40), prefixed("pypi-", wordDash, 50), prefixed("dckr_pat_", wordDash, 20),
		{"eyJ", jwt}, {"-----BEGIN ", pem}, {"://", basicAuth},
		{"uthorization", authorization}, {"_authToken", assigned(bearer, 8)}, {"ecret_access_key", assigned(base64Set, 40)},
		{"ecretAccessKey", assigned(base64Set, 40)}, {"access_token=", assigned(bearer, 16)}, {"X-Amz-Signature", assigned(hexSet, 64)},
		{"X-Amz-Security-Token", assigned(setOf("-A-Za-z0-9._~+/=%"), 40)},
	}
	for _, p := range []string{"AKIA", "ASIA", "ABIA", "ACCA"} {
		all = append(all, shape{p, exactly(p, upperDigits, 16)})
	}
	for _, p := range []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"} {
		all = append(all, prefixed(p, alnum, 36))
	}
	for _, p := range []string{"xoxb-", "xoxa-", "xoxp-", "xoxr-", "xoxs-", "xoxe-"} {
		all = append(all, prefixed(p, wordDash, 10))
	}
	return all
}

// inWord reports whether a word continues across i, so that no token begins there. The letter that ends a colour is no word's.
func inWord(s string, i int) bool {
	if i == 0 || !alnum[s[i-1]] {
		return false
	}
	j := i - 2
	for j >= 0 && (s[j] >= '0' && s[j] <= '9' || s[j] == ';') {
		j--
	}
	return j < 1 || s[j] != '[' || s[j-1] != 0x1b
}

// prefixed is a token of at least so many bytes of the set after its prefix.
func prefixed(prefix string, set *charset, least int) shape {
	return shape{prefix, func(s string, at int) (found, bool) {
		begin := at + len(prefix)
		end := set.run(s, begin)
		return found{at, end, set}, end-begin >= least && !inWord(s, at)
	}}
}

// exactly is a token of so many bytes after its prefix, and no more.
func exactly(prefix string, set *charset, count int) func(string, int) (found, bool) {
	return func(s string, at int) (found, bool) {
		begin := at + len(prefix)
		end := set.run(s, begin)
		return found{at, end, nil}, end-begin == count && !inWord(s, at)
	}
}

// assigned is what stands behind a name: "name=value", "name: value", "name": "value".
func assigned(set *charset, least int) func(string, int) (found, bool) {
	return func(s string, at int) (found, bool) {
		begin := wordDash.run(s, at)
		for n := 0; n < 4 && begin < len(s) && strings.IndexByte(`=:"' `, s[begin]) >= 0; n++ {
			begin++
		}
		end := set.run(s, begin)
		return found{begin, end, set}, end-begin >= least
	}
}

// authorization is the credentials of an HTTP header: "Authorization: Bearer …".
func authorization(s string, at int) (found, bool) {
	i := at + len("uthorization")
	for n := 0; n < 4 && i < len(s) && strings.IndexByte(`=:"' `, s[i]) >= 0; n++ {
		i++
	}
	scheme := alnum.run(s, i)
	if scheme == i || scheme >= len(s) || s[scheme] != ' ' {
		return found{}, false
	}
	begin := scheme + 1
	end := bearer.run(s, begin)
	return found{begin, end, bearer}, end-begin >= 8
}

// jwt is three parts of base64 with dots between; the first is JSON, which begins like this one.
func jwt(s string, at int) (found, bool) {
	if inWord(s, at) {
		return found{}, false
	}
	end := wordDash.run(s, at)
	for range 2 {
		if end >= len(s) || s[end] != '.' || wordDash.run(s, end+1)-end-1 < 10 {
			return found{}, false
		}
		end = wordDash.run(s, end+1)
	}
	return found{at, end, wordDash}, end-at >= 30
}

// basicAuth is the password in "scheme://user:password@host".
func basicAuth(s string, at int) (found, bool) {
	begin := at + len("://")
	end := userInfo.run(s, begin)
	if end >= len(s) || s[end] != '@' {
		return found{}, false
	}
	colon := strings.IndexByte(s[begin:end], ':')
	if colon < 0 || begin+colon+1 == end {
		return found{}, false
	}
	return found{begin + colon + 1, end, nil}, true
}

const (
	pemKind = "PRIVATE KEY-----"
	pemEnd  = "-----END "
)

// pem is a private key, up to its end or that of the text; the lines that follow are pemBody's.
func pem(s string, at int) (found, bool) {
	head := s[at:min(len(s), at+80)]
	if !strings.Contains(head, pemKind) {
		return found{}, false
	}
	end := strings.Index(s[at:], pemEnd)
	if end < 0 {
		return found{at, len(s), nil}, true
	}
	end += at + len(pemEnd)
	if tail := strings.Index(s[end:], pemKind); tail >= 0 {
		return found{at, end + tail + len(pemKind), nil}, true
	}
	return found{at, len(s), nil}, true
}

// pemBody follows a private key over the lines of a log.
type pemBody struct {
	// left is how many lines may still be the key's, odd how many in a row were not.
	left, odd int
}

const (
	// pemLines is enough for a key of 16,384 bits. pemOdd lines that are no base64 say that it was no key, or was cut off.
	pemLines = 250
	pemOdd   = 3
	// pemRun of base64 is more than a word.
	pemRun = 16
)

// open notes that a key begins in a line, unless it also ends there.
func (p *pemBody) open(line string) {
	at := strings.LastIndex(line, "-----BEGIN ")
	if at < 0 {
		return
	}
	if f, ok := pem(line, at); ok && f.to == len(line) && !strings.Contains(line[at:], pemEnd) {
		*p = pemBody{left: pemLines}
	}
}

// hide replaces what of a line belongs to a key that is open.
func (p *pemBody) hide(line string) string {
	if p.left == 0 {
		return line
	}
	p.left--
	if end := strings.Index(line, pemEnd); end >= 0 {
		p.left = 0
		return masked
	}
	text := strings.Trim(line, " \t\"',\\|")
	if text == "" || base64Set.run(text, 0) == len(text) {
		p.odd = 0
		return masked
	}
	var out []byte
	hidden := false
	for i := 0; i < len(line); {
		end := base64Set.run(line, i)
		switch {
		case end-i >= pemRun:
			out, hidden = append(out, masked...), true
		case end > i:
			out = append(out, line[i:end]...)
		default:
			out, end = append(out, line[i]), i+1
		}
		i = end
	}
	if p.odd++; hidden {
		p.odd = 0
	}
	if p.odd == pemOdd {
		p.left = 0
	}
	return string(out)
}
