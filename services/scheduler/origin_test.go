package scheduler

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

// TestOriginIsKept: what a submit says that it is of, and its settings, are read again, alone, in lists and after a claim; nonsense is refused.
func TestOriginIsKept(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		w := b.worker(1, "ios")
		origin := &schedulerv1.Origin{Repository: "acme/shop", Commit: strings.Repeat("0a", 20), Branch: "main"}
		settings := &schedulerv1.BuildSettings{AppPath: "apps/shop", Modified: true, Username: "jo", BuildNumber: "42"}
		req := &schedulerv1.SubmitRequest{
			BuildId: build.NewID(), Platform: "ios", Source: &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"}, Origin: origin,
			Settings: settings,
		}
		if _, err := b.Submit(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		plain := b.submit("app", "android", 0)
		if plain.GetOrigin() != nil {
			t.Errorf("origin of a submit without one = %v", plain.GetOrigin())
		}
		claimed := b.mustClaim(w, req.GetBuildId())
		got, err := b.Get(t.Context(), &schedulerv1.GetRequest{BuildId: req.GetBuildId()})
		if err != nil || !proto.Equal(got.GetBuild().GetOrigin(), origin) || !proto.Equal(claimed.GetOrigin(), origin) {
			t.Errorf("Get = %v, %v, claimed %v", got.GetBuild().GetOrigin(), err, claimed.GetOrigin())
		}
		if !proto.Equal(got.GetBuild().GetSettings(), settings) || !proto.Equal(claimed.GetSettings(), settings) || plain.GetSettings() != nil {
			t.Errorf("settings = %v, claimed %v, of a submit without any %v", got.GetBuild().GetSettings(), claimed.GetSettings(), plain.GetSettings())
		}
		list, err := b.List(t.Context(), &schedulerv1.ListRequest{Brief: true})
		if err != nil || len(list.GetBuilds()) != 2 || !proto.Equal(list.GetBuilds()[1].GetOrigin(), origin) {
			t.Errorf("List = %v, %v", list, err)
		}
		for _, bad := range []*schedulerv1.Origin{{Commit: "0a"}, {Repository: "shop"}, {Branch: "a b"}} {
			again := proto.CloneOf(req)
			again.BuildId, again.Origin = build.NewID(), bad
			if _, err := b.Submit(t.Context(), again); !errors.Is(err, build.ErrInvalid) {
				t.Errorf("%v: %v", bad, err)
			}
		}
		outside := proto.CloneOf(req)
		outside.BuildId, outside.Settings = build.NewID(), &schedulerv1.BuildSettings{AppPath: "../other"}
		if _, err := b.Submit(t.Context(), outside); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("an app outside of the source: %v", err)
		}
	})
}
