package buildlog

import (
	"slices"
	"strings"
	"unicode"
)

// secretWords name secrets, alone or at the end of a longer word (APIKEY, GHTOKEN).
var secretWords = []string{ //nolint:gochecknoglobals // a table
	"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PASSCODE", "APIKEY", "CREDENTIAL", "COOKIE",
}

// secretAlone name secrets only as words of their own.
var secretAlone = []string{"KEY", "PASS", "PW", "PWD", "PRIVATE", "PAT"} //nolint:gochecknoglobals // a table

// settingWords end the name of something about a secret that is none itself, such as AUTH_MODE, TOKEN_URL and KEY_ALIAS.
var settingWords = []string{ //nolint:gochecknoglobals // a table
	"MODE", "URL", "URI", "HOST", "PORT", "DOMAIN", "PATH", "FILE", "DIR", "NAME", "ID", "ALIAS", "TYPE", "TTL", "TIMEOUT", "EXPIRY",
	"PROVIDER", "ENABLED", "DISABLED", "REQUIRED", "LENGTH", "ALGORITHM", "REGION", "USER", "USERNAME", "VERSION", "COUNT", "SCOPE",
	"METHOD", "STRATEGY", "ENV", "STORE",
}

// SecretName judges by a variable's name whether its value is a secret. Words are separated as in SENTRY_AUTH_TOKEN and authToken.
func SecretName(name string) bool {
	words := nameWords(name)
	if len(words) == 0 || slices.Contains(settingWords, words[len(words)-1]) {
		return false
	}
	for i, w := range words {
		last := i == len(words)-1
		switch {
		case slices.Contains(secretAlone, w) || w == "AUTH" && (last || words[i+1] == "HEADER"):
			return true
		case slices.ContainsFunc(secretWords, func(s string) bool { return strings.HasSuffix(w, s) }):
			return true
		}
	}
	return false
}

// nameWords returns the words of a variable's name in upper case, without an S of the plural and without numbers.
func nameWords(name string) []string {
	var words []string
	begin := 0
	end := func(i int) {
		w := strings.TrimRight(strings.ToUpper(name[begin:i]), "0123456789")
		if len(w) > 3 && !strings.HasSuffix(w, "SS") && !slices.Contains(settingWords, w) {
			w = strings.TrimSuffix(w, "S")
		}
		if w != "" {
			words = append(words, w)
		}
	}
	before := ' '
	for i, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end(i)
			begin = i + len(string(r))
		case unicode.IsUpper(r) && unicode.IsLower(before):
			end(i)
			begin = i
		}
		before = r
	}
	end(len(name))
	return words
}
