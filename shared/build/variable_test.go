package build_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestVariableNames(t *testing.T) {
	t.Parallel()
	for name, valid := range map[string]bool{
		"A": true, "_a1": true, "EXPO_PUBLIC_API_URL": true, strings.Repeat("A", build.MaxVariableName): true,
		"": false, "1A": false, "A-B": false, "A=B": false, "A B": false, "A\n": false, "É": false, "FREEAGENT_" + "X": false, strings.Repeat("A", build.MaxVariableName+1): false,
	} {
		if err := build.CheckVariableName(name); (err == nil) != valid || err != nil && !errors.Is(err, build.ErrInvalid) {
			t.Errorf("CheckVariableName(%.20q) = %v, want valid %v", name, err, valid)
		}
	}
	for name, valid := range map[string]bool{
		"production": true, "a_b-3": true, strings.Repeat("e", 100): true,
		"": false, "ab": false, "Production": false, "pre view": false, "a/b": false, strings.Repeat("e", 101): false, "preview\n": false,
	} {
		if err := build.CheckEnvironment(name); (err == nil) != valid || err != nil && !errors.Is(err, build.ErrInvalid) {
			t.Errorf("CheckEnvironment(%.20q) = %v, want valid %v", name, err, valid)
		}
	}
}

// TestVariableValues: a value that would not arrive as it is is refused, and no error shows it.
func TestVariableValues(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]error{
		"v": nil, "é\ttab\nline": nil, strings.Repeat("x", build.MaxVariableBytes): nil,
		"": build.ErrInvalid, "hidden\x00": build.ErrInvalid, "hidden\xff": build.ErrInvalid, "hidden\ufffd": build.ErrInvalid,
		strings.Repeat("x", build.MaxVariableBytes+1): build.ErrTooLarge,
	} {
		err := build.CheckVariableValue("NAME", value)
		if want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("CheckVariableValue(%.20q) = %v, want %v", value, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "xx") || !strings.Contains(err.Error(), "NAME")) {
			t.Errorf("the error %q must name the variable and not the value", err)
		}
	}
}
