package build

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Settings say what of the source is built, as far as the client that submits it says. A retry has those of its build.
type Settings struct {
	// AppPath is the directory of the app below the root of the source, as a slash path; empty if it is the root.
	AppPath string `json:"app_path,omitempty"`
	// Modified means that the source is not exactly that of the commit.
	Modified bool `json:"modified,omitempty"`
	// Username is the person who submits.
	Username string `json:"username,omitempty"`
	// BuildNumber is the versionCode (Android) or buildNumber (iOS) of the app; empty: that of the app's configuration. A submit may
	// have NextNumber or LastNumber, the build then has the number.
	BuildNumber string `json:"build_number,omitempty"`
	// Requires are the labels that its worker needs, as KEY=VALUE by comma.
	Requires Requirements `json:"requires,omitempty"`
	// RepackFrom is the build whose result gets a new JavaScript bundle; empty for a native build.
	RepackFrom string `json:"repack_from,omitempty"`
}

// MaxAppPath bounds an app's path, in bytes.
const MaxAppPath = 1024

var (
	// usernameRule: printable, in one line.
	usernameRule = regexp.MustCompile(`^[^\pC]{1,100}$`)
)

// Check returns an ErrInvalid for settings that cannot be.
func (s Settings) Check() error {
	switch {
	case s.AppPath != "" && !validAppPath(s.AppPath):
		return fmt.Errorf("%w: app path %.120q (want a path below the root of the source, such as apps/mobile)", ErrInvalid, s.AppPath)
	case s.Username != "" && !usernameRule.MatchString(s.Username):
		return fmt.Errorf("%w: username %.120q (want at most 100 printable characters)", ErrInvalid, s.Username)
	case s.BuildNumber != "" && !CountedNumber(s.BuildNumber) && !buildNumberRule.MatchString(s.BuildNumber):
		return fmt.Errorf("%w: build number %.40q (want a number such as 42 or, on iOS, 1.2.3; or %s or %s)", ErrInvalid, s.BuildNumber, NextNumber, LastNumber)
	}
	if s.RepackFrom != "" && !ValidID(s.RepackFrom) {
		return fmt.Errorf("%w: build to repack %.120q (want the id of a build)", ErrInvalid, s.RepackFrom)
	}
	if _, err := ParseRequirements(string(s.Requires)); err != nil {
		return fmt.Errorf("requires: %w", err)
	}
	return nil
}

func validAppPath(p string) bool {
	return len(p) <= MaxAppPath && path.Clean(p) == p && !path.IsAbs(p) && p != "." && p != ".." && !strings.HasPrefix(p, "../") &&
		!strings.ContainsAny(p, "\x00\r\n")
}
