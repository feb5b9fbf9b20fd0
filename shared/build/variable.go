package build

import (
	"fmt"
	"regexp"
	"strings"
)

// Visibility says where the value of a project's variable may show.
type Visibility string

// The visibilities. The values of Sensitive and Secret variables are masked in logs and not listed; nobody but a build ever reads a Secret.
const (
	Plain     Visibility = "plain"
	Sensitive Visibility = "sensitive"
	Secret    Visibility = "secret"
)

// ParseVisibility returns ErrInvalid for an unknown word.
func ParseVisibility(s string) (Visibility, error) {
	switch v := Visibility(s); v {
	case Plain, Sensitive, Secret:
		return v, nil
	}
	return "", fmt.Errorf("%w: visibility %.40q (want plain, sensitive or secret)", ErrInvalid, s)
}

// Limits of a project's variables, over all of its environments.
const (
	// MaxVariables is how many it may have; one in two environments counts as two.
	MaxVariables = 500
	// MaxVariableBytes bounds a value.
	MaxVariableBytes = 32 << 10
	// MaxVariablesBytes bounds all values together. They travel in one message.
	MaxVariablesBytes = 512 << 10
	// MaxVariableName bounds a name, in bytes.
	MaxVariableName = 255
)

var (
	variableRule    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)
	environmentRule = regexp.MustCompile(`^[a-z0-9_-]{3,100}$`) // that of Expo
)

// CheckVariableName returns an ErrInvalid for a name that no variable of a project may have.
func CheckVariableName(name string) error {
	switch {
	case !variableRule.MatchString(name):
		return fmt.Errorf("%w: variable name %.80q (want letters, digits and _, at most %d, no digit first)", ErrInvalid, name, MaxVariableName)
	case strings.HasPrefix(name, "FREEAGENT_"):
		return fmt.Errorf("%w: variable name %.80q (names that begin with FREEAGENT_ are the worker's own)", ErrInvalid, name)
	}
	return nil
}

// CheckEnvironment returns an ErrInvalid for a name that no environment may have.
func CheckEnvironment(name string) error {
	if !environmentRule.MatchString(name) {
		return fmt.Errorf("%w: environment %.120q (want 3 to 100 lower-case letters, digits, - and _, such as production)", ErrInvalid, name)
	}
	return nil
}

// CheckVariableValue returns an ErrInvalid or ErrTooLarge for a value that a variable cannot have. The error does not show the value.
func CheckVariableValue(name, value string) error {
	switch {
	case len(value) > MaxVariableBytes:
		return fmt.Errorf("%w: the value of %s has %d bytes, at most %d are possible", ErrTooLarge, name, len(value), MaxVariableBytes)
	case value == "":
		return fmt.Errorf("%w: the value of %s is empty", ErrInvalid, name)
	case strings.ContainsAny(value, "\x00\uFFFD"): // what is no UTF-8 counts as U+FFFD, and has become it in JSON
		return fmt.Errorf("%w: the value of %s is not text (UTF-8 without NUL). Encode it, for instance in base64", ErrInvalid, name)
	}
	return nil
}
