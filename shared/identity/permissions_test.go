package identity_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

func TestPermissionsNameOnlyTheWorker(t *testing.T) {
	t.Parallel()
	p, err := identity.Permissions(identity.Worker{ID: "w1", Pool: "macs", Platforms: []string{"ios"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Pub.Allow {
		if !strings.Contains(s, "w1") && !strings.Contains(s, ".BUILD_QUEUE.macs-ios") {
			t.Errorf("may publish %s, which names neither the worker nor its queue", s)
		}
	}
	want := []string{"_INBOX_w1.>", "fa.control.w1", "fa.wake.macs.ios"}
	if !slices.Equal(p.Sub.Allow, want) {
		t.Errorf("may subscribe %v, want %v", p.Sub.Allow, want)
	}
}

func TestPermissionsWithoutPlatformsAreForAll(t *testing.T) {
	t.Parallel()
	p, err := identity.Permissions(identity.Worker{ID: "w1", Pool: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"ios", "android"} {
		want := "$JS.API.CONSUMER.MSG.NEXT.BUILD_QUEUE." + bus.QueueConsumer("default", platform)
		if !p.Pub.Allow.Contains(want) {
			t.Errorf("may not publish %s", want)
		}
	}
}

// TestPermissionsRefuseNamesThatOpenMore: a star in a name would be a wildcard in a permission.
func TestPermissionsRefuseNamesThatOpenMore(t *testing.T) {
	t.Parallel()
	for _, w := range []identity.Worker{
		{Pool: "default"}, {ID: "*", Pool: "default"}, {ID: ">", Pool: "default"}, {ID: "w1.x", Pool: "default"},
		{ID: bus.System, Pool: "default"}, {ID: strings.Repeat("w", 65), Pool: "default"},
		{ID: "w1"}, {ID: "w1", Pool: "*"}, {ID: "w1", Pool: "a.>"}, {ID: "w1", Pool: "a b"},
		{ID: "w1", Pool: "default", Platforms: []string{"*"}}, {ID: "w1", Pool: "default", Platforms: []string{"ios", ""}},
	} {
		p, err := identity.Permissions(w)
		if !errors.Is(err, identity.ErrWorker) || !p.Pub.Empty() || !p.Sub.Empty() {
			t.Errorf("Permissions(%+v) = %v, %v, want nothing and ErrWorker", w, p, err)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	s, err := identity.ParseScopes("submit, read,read")
	if err != nil || s.String() != "submit,read" {
		t.Errorf("ParseScopes = %v, %v", s, err)
	}
	if !s.Allow(identity.ScopeRead) || s.Allow(identity.ScopeWorker) || s.Allow(identity.ScopeAdmin) {
		t.Error("Allow goes beyond the scopes, or falls short")
	}
	if !(identity.Scopes{identity.ScopeAdmin}).Allow(identity.ScopeWorker) || identity.Scopes(nil).Allow(identity.ScopeRead) {
		t.Error("admin implies all, none implies nothing")
	}
	if _, err := identity.ParseScopes("root"); !errors.Is(err, identity.ErrKey) {
		t.Errorf("ParseScopes(root) = %v, want ErrKey", err)
	}
}
