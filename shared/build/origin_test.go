package build_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	sha := strings.Repeat("0a", 20)
	for _, c := range []struct {
		o  build.Origin
		ok bool
	}{
		{build.Origin{}, true},
		{build.Origin{Repository: "acme/shop.app", Commit: sha, Branch: "feature/näh-1"}, true},
		{build.Origin{Commit: strings.Repeat("0a", 32)}, true},
		{build.Origin{Commit: sha[:39]}, false},
		{build.Origin{Commit: sha + "0a"}, false},
		{build.Origin{Commit: strings.ToUpper(sha)}, false},
		{build.Origin{Commit: sha + "\n"}, false},
		{build.Origin{Repository: "acme"}, false},
		{build.Origin{Repository: "acme/.."}, false},
		{build.Origin{Repository: "acme/a/b"}, false},
		{build.Origin{Repository: "acme/a?b"}, false},
		{build.Origin{Repository: "../a"}, false},
		{build.Origin{Branch: "-x"}, false},
		{build.Origin{Branch: "a b"}, false},
		{build.Origin{Branch: "a\x1b[m"}, false},
		{build.Origin{Branch: strings.Repeat("a", 256)}, false},
	} {
		err := c.o.Check()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, build.ErrInvalid) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}
