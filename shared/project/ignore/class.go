package ignore

import "strings"

// named reads a named class such as [:alpha:]. named is false if the text has none here; ok is false
// for a name that does not exist, which makes the whole pattern match nothing.
func (c *compiler) named() (m member, named, ok bool) {
	rest := c.text[c.at:]
	if !strings.HasPrefix(rest, "[:") {
		return m, false, false
	}
	end := strings.IndexByte(rest, ']')
	if end < 0 {
		return m, true, false
	}
	if end < 3 || rest[end-1] != ':' {
		return m, false, false
	}
	f, ok := classes()[rest[2:end-1]]
	c.at += end + 1
	if rest[2:end-1] == "upper" && c.fold {
		f = func(b byte) bool { return isUpper(b) || isLower(b) }
	}
	return member{named: f}, true, ok
}

func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }
func isLower(b byte) bool { return 'a' <= b && b <= 'z' }
func isDigit(b byte) bool { return '0' <= b && b <= '9' }
func isAlnum(b byte) bool { return isUpper(b) || isLower(b) || isDigit(b) }
func isGraph(b byte) bool { return 0x21 <= b && b <= 0x7e }

func classes() map[string]func(byte) bool {
	return map[string]func(byte) bool{
		"alnum": isAlnum, "digit": isDigit, "graph": isGraph, "lower": isLower, "upper": isUpper,
		"alpha":  func(b byte) bool { return isUpper(b) || isLower(b) },
		"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
		"cntrl":  func(b byte) bool { return b < 0x20 || b == 0x7f },
		"print":  func(b byte) bool { return b == ' ' || isGraph(b) },
		"punct":  func(b byte) bool { return isGraph(b) && !isAlnum(b) },
		"space":  func(b byte) bool { return strings.IndexByte(" \t\n\r", b) >= 0 },
		"xdigit": func(b byte) bool { return isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'f' },
	}
}
