package appversion

import (
	"bytes"
	"os"
	"regexp"
	"slices"
)

// gradleFiles are the build files of an app's module, in Groovy and in Kotlin.
func gradleFiles() []string {
	return []string{"android/app/build.gradle", "android/app/build.gradle.kts"}
}

var (
	// versionLiteral is a versionCode that is a number, with = or ( or nothing before it.
	versionLiteral = regexp.MustCompile(`\bversionCode(\s*=\s*|[ \t]*\([ \t]*|[ \t]+)([0-9]+)[ \t]*(\)|;|\r?\n|\}|$)`)
	// versionOther is any statement that sets a version code.
	versionOther  = regexp.MustCompile(`(?m)\bversionCodeOverride\b|\bsetVersionCode\b|\bversionCode[ \t]*=[^=]|^[ \t]*versionCode\b[ \t(]`)
	defaultConfig = regexp.MustCompile(`\bdefaultConfig\s*\{`)
)

func setAndroid(app *os.Root, number string, r *Report) error {
	for _, name := range gradleFiles() {
		data, err := read(app, name)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		edited, lines, found := setVersionCode(data, number)
		if !found {
			r.warn("%s has no block defaultConfig: the app keeps its own versionCode, not %s", name, number)
			return nil
		}
		for _, line := range lines {
			r.warn("%s:%d computes a version code, which may win over %s", name, line, number)
		}
		r.changed("%s: versionCode %s", name, number)
		return write(app, name, edited)
	}
	r.warn("there is no android/app/build.gradle: the app keeps its own versionCode, not %s", number)
	return nil
}

// setVersionCode replaces every version code that is a number, also those of flavors. A defaultConfig whose version code is none, or
// computed, gets the number at its end, where it wins. computed are the lines outside defaultConfig that may decide otherwise.
func setVersionCode(data []byte, number string) (edited []byte, computed []int, found bool) {
	code := maskGradle(data)
	start, end, found := blockOf(code, defaultConfig)
	if !found {
		return nil, nil, false
	}
	literals := versionLiteral.FindAllSubmatchIndex(code, -1)
	isLiteral := func(at int) bool {
		return slices.ContainsFunc(literals, func(m []int) bool { return m[0] == at })
	}
	set := slices.ContainsFunc(literals, func(m []int) bool { return start < m[0] && m[0] < end })
	for _, m := range versionOther.FindAllIndex(code, -1) {
		at := m[0] + bytes.Index(code[m[0]:m[1]], []byte("ersionCode")) - 1
		switch {
		case isLiteral(at):
		case start < at && at < end:
			set = false
		default:
			computed = append(computed, 1+bytes.Count(data[:at], []byte("\n")))
		}
	}
	last := 0
	for _, m := range literals {
		if !set && m[0] > end && last <= end {
			edited, last = insertVersion(edited, data, last, end, number)
		}
		edited = append(append(edited, data[last:m[4]]...), number...)
		last = m[5]
	}
	if !set && last <= end {
		edited, last = insertVersion(edited, data, last, end, number)
	}
	return append(edited, data[last:]...), computed, true
}

// insertVersion copies data up to the end of a block and adds the number there, in words that are both Groovy and Kotlin.
func insertVersion(edited, data []byte, last, end int, number string) ([]byte, int) {
	edited = append(edited, bytes.TrimRight(data[last:end], " \t\r\n")...)
	return append(edited, "\n        versionCode = "+number+"\n    "...), end
}

// blockOf returns the places after the opening and at the closing brace of a block. Comments and strings of code are masked.
func blockOf(code []byte, head *regexp.Regexp) (start, end int, ok bool) {
	at := head.FindIndex(code)
	if at == nil {
		return 0, 0, false
	}
	depth := 1
	for i := at[1]; i < len(code); i++ {
		switch code[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return at[1], i, true
			}
		}
	}
	return 0, 0, false
}

// maskGradle returns a copy of a build file in which comments and the text of strings are spaces.
func maskGradle(data []byte) []byte {
	code := slices.Clone(data)
	for i := 0; i < len(code); {
		end := tokenEnd(data, i)
		for j := i; j < end; j++ {
			if code[j] != '\n' {
				code[j] = ' '
			}
		}
		i = max(end, i+1)
	}
	return code
}

// tokenEnd returns where the comment or string ends that begins at i, and i if none does.
func tokenEnd(data []byte, i int) int {
	until := func(closing string, from int) int {
		if n := bytes.Index(data[min(from, len(data)):], []byte(closing)); n >= 0 {
			return from + n + len(closing)
		}
		return len(data)
	}
	rest := data[i:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		return until("\n", i+2)
	case bytes.HasPrefix(rest, []byte("/*")):
		return until("*/", i+2)
	case bytes.HasPrefix(rest, []byte(`"""`)), bytes.HasPrefix(rest, []byte("'''")):
		return until(string(rest[:3]), i+3)
	case rest[0] == '"' || rest[0] == '\'':
		for j := i + 1; j < len(data) && data[j] != '\n'; j++ {
			switch data[j] {
			case '\\':
				j++
			case rest[0]:
				return j + 1
			}
		}
		return i // no string of one line
	}
	return i
}
