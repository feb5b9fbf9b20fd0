package build

import (
	"errors"
	"strings"
	"testing"
)

func TestSettingsCheck(t *testing.T) {
	t.Parallel()
	for _, s := range []Settings{
		{}, {AppPath: "apps/mobile"}, {AppPath: "apps/(shop) ü"}, {AppPath: "..app"}, {Username: "jo da Silva"}, {BuildNumber: "42"}, {BuildNumber: "1.2.3"},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("Check(%+v) = %v", s, err)
		}
	}
	for _, s := range []Settings{
		{AppPath: "/etc"}, {AppPath: ".."}, {AppPath: "../x"}, {AppPath: "a/../../x"}, {AppPath: "a//b"}, {AppPath: "a/"}, {AppPath: "."}, {AppPath: "a\nb"},
		{AppPath: strings.Repeat("a", MaxAppPath+1)}, {Username: "a\nb"}, {Username: strings.Repeat("a", 101)},
		{BuildNumber: "-1"}, {BuildNumber: "1.2.3.4"}, {BuildNumber: "v1"},
	} {
		if err := s.Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("Check(%+v) = %v, want ErrInvalid", s, err)
		}
	}
}
