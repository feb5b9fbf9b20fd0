package standalone_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestBuildNumbersByCommand: each submit gets the next number of its project, a retry that of its build.
func TestBuildNumbersByCommand(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	if got := f.says("version", "set", "--project", "shop", "--platform", "android", "41"); !strings.Contains(got, "the next build has 42") {
		t.Errorf("freeagent version set printed\n%s", got)
	}
	submit := func(number string) api.Submitted {
		sub, err := f.client().Builds.Submit(t.Context(), api.Submit{
			Platform: "android", Project: "shop", Source: project(t), Settings: build.Settings{BuildNumber: number},
		})
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	first := submit(build.NextNumber)
	if second := submit(build.NextNumber); first.BuildNumber != "42" || second.BuildNumber != "43" {
		t.Errorf("the builds have the numbers %s and %s, want 42 and 43", first.BuildNumber, second.BuildNumber)
	}
	retried, err := f.client().Builds.Retry(t.Context(), first.ID)
	if err != nil || retried.BuildNumber != "42" {
		t.Errorf("the retry has the number %q, %v, want 42", retried.BuildNumber, err)
	}
	if last := submit(build.LastNumber); last.BuildNumber != "43" {
		t.Errorf("the last number is %s, want 43", last.BuildNumber)
	}
	if got, want := f.says("version", "get", "--project", "shop"), regexp.MustCompile(`(?m)^android +versionCode +43 `); !want.MatchString(got) {
		t.Errorf("freeagent version get printed\n%s", got)
	}
	if got, want := f.says("status", first.ID), regexp.MustCompile(`(?m)^Build number +42$`); !want.MatchString(got) {
		t.Errorf("freeagent status printed\n%s", got)
	}
}
