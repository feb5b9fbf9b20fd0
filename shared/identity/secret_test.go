package identity

import (
	"errors"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	for key, ok := range map[string]bool{
		"0123456789abcdef": true, "AZaz09_-AZaz09_-": true, NewSecret(): true,
		"": false, "short": false, "0123456789abcde": false, "0123456789 abcdef": false, "0123456789abcdeü": false,
	} {
		err := ValidKey(key)
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("ValidKey(%q) = %v", key, err)
		}
		if err != nil && key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("the error tells the key: %v", err)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	s := NewSecret()
	if !Matches(s, Hash(s)) || Matches(s+"x", Hash(s)) || Matches("", "") || Matches(s, "") {
		t.Error("Matches takes what it should not, or the other way round")
	}
	if s == NewSecret() || len(s) != 52 {
		t.Errorf("NewSecret() = %q", s)
	}
}
