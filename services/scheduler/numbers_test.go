package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func numbered(project, platform, number string) *schedulerv1.SubmitRequest {
	return &schedulerv1.SubmitRequest{
		BuildId: build.NewID(), Project: project, Platform: platform, Settings: &schedulerv1.BuildSettings{BuildNumber: number},
		Source: &eventsv1.ObjectRef{ObjectId: build.NewID(), Size: 1, Sha256: "00"},
	}
}

func (b *bundle) setNumber(project, platform, last string) {
	b.t.Helper()
	if _, err := b.SetBuildNumber(b.t.Context(), &schedulerv1.SetBuildNumberRequest{Project: project, Platform: platform, Last: last}); err != nil {
		b.t.Fatal(err)
	}
}

// lastNumbers returns the counters of a project as "platform last".
func (b *bundle) lastNumbers(project string) []string {
	b.t.Helper()
	resp, err := b.GetBuildNumbers(b.t.Context(), &schedulerv1.GetBuildNumbersRequest{Project: project})
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, n := range resp.GetNumbers() {
		all = append(all, n.GetPlatform()+" "+n.GetLast())
	}
	return all
}

// Submits at the same moment get different numbers, without a gap, and so does nobody twice.
func TestSubmitsTakeNumbersOneAfterTheOther(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.setNumber("shop", "android", "41")
		b.setNumber("shop", "ios", "1.2.9")
		const submits = 24
		got := make([]int, submits)
		var wg sync.WaitGroup
		for i := range submits {
			wg.Go(func() {
				resp, err := b.Submit(t.Context(), numbered("shop", "android", build.NextNumber))
				if err != nil {
					t.Errorf("Submit = %v", err)
					return
				}
				got[i], _ = strconv.Atoi(resp.GetBuild().GetSettings().GetBuildNumber())
			})
		}
		wg.Wait()
		slices.Sort(got)
		for i, n := range got {
			if n != 42+i {
				t.Fatalf("numbers = %v, want 42 and those that follow", got)
			}
		}
		resp, err := b.Submit(t.Context(), numbered("shop", "ios", build.NextNumber))
		if err != nil || resp.GetBuild().GetSettings().GetBuildNumber() != "1.2.10" {
			t.Errorf("the next of 1.2.9 = %v, %v", resp, err)
		}
		if got := fmt.Sprint(b.lastNumbers("shop")); got != "[android 65 ios 1.2.10]" {
			t.Errorf("counters = %s", got)
		}
		if got := b.lastNumbers("other"); got != nil {
			t.Errorf("counters of another project = %v", got)
		}
	})
}

// A repeat gets the number of its build, LastNumber takes none, and neither does a submit that is refused.
func TestNumbersAreTakenWithTheBuild(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		if _, err := b.Submit(t.Context(), numbered("shop", "android", build.NextNumber)); !errors.Is(err, build.ErrInvalid) || !strings.Contains(err.Error(), "version set") {
			t.Errorf("Submit without a counter = %v, want ErrInvalid and what to do", err)
		}
		b.setNumber("shop", "android", "2099999998")
		r := numbered("shop", "android", build.NextNumber)
		for range 3 {
			resp, err := b.Submit(t.Context(), proto.CloneOf(r))
			if err != nil || resp.GetBuild().GetSettings().GetBuildNumber() != "2099999999" {
				t.Fatalf("Submit = %v, %v, want number 2099999999", resp, err)
			}
		}
		resp, err := b.Submit(t.Context(), numbered("shop", "android", build.LastNumber))
		if err != nil || resp.GetBuild().GetSettings().GetBuildNumber() != "2099999999" {
			t.Errorf("Submit with the last number = %v, %v", resp, err)
		}
		last := numbered("shop", "android", build.NextNumber)
		if resp, err := b.Submit(t.Context(), proto.CloneOf(last)); err != nil || resp.GetBuild().GetSettings().GetBuildNumber() != "2100000000" {
			t.Fatalf("Submit = %v, %v, want the largest versionCode", resp, err)
		}
		if _, err := b.Submit(t.Context(), numbered("shop", "android", build.NextNumber)); !errors.Is(err, build.ErrInvalid) {
			t.Errorf("Submit beyond the largest versionCode = %v, want ErrInvalid", err)
		}
		if resp, err := b.Submit(t.Context(), last); err != nil || !resp.GetReplayed() {
			t.Errorf("a repeat at the end of the counter = %v, %v, want the same build", resp, err)
		}
		if got := fmt.Sprint(b.lastNumbers("shop")); got != "[android 2100000000]" {
			t.Errorf("counters = %s", got)
		}
	})
}

func TestSetBuildNumberRefusesALowerOne(t *testing.T) {
	t.Parallel()
	databasetest.Each(t, func(t *testing.T, open databasetest.Opener) {
		b := setup(t, open)
		b.setNumber("shop", "ios", "1.2.3")
		for _, last := range []string{"1.2.2", "1.1.9", "1.2", "", "1.2.3.4", "x", "99999999999"} {
			if _, err := b.SetBuildNumber(t.Context(), &schedulerv1.SetBuildNumberRequest{Project: "shop", Platform: "ios", Last: last}); !errors.Is(err, build.ErrInvalid) {
				t.Errorf("SetBuildNumber(%q) = %v, want ErrInvalid", last, err)
			}
		}
		for _, code := range []string{"0", "2100000001", "1.2"} {
			if _, err := b.SetBuildNumber(t.Context(), &schedulerv1.SetBuildNumberRequest{Project: "shop", Platform: "android", Last: code}); !errors.Is(err, build.ErrInvalid) {
				t.Errorf("SetBuildNumber(android, %q) = %v, want ErrInvalid", code, err)
			}
		}
		b.setNumber("shop", "ios", "1.2.3") // a repeat
		b.setNumber("shop", "ios", "1.10")
		if _, err := b.SetBuildNumber(t.Context(), &schedulerv1.SetBuildNumberRequest{Project: "shop", Platform: "ios", Last: "7"}); err != nil {
			t.Errorf("SetBuildNumber(7) after 1.10 = %v", err)
		}
		if _, err := b.SetBuildNumber(t.Context(), &schedulerv1.SetBuildNumberRequest{Project: "shop", Platform: "ios", Last: "3", Force: true}); err != nil {
			t.Errorf("SetBuildNumber with force = %v", err)
		}
		if got := fmt.Sprint(b.lastNumbers("shop")); got != "[ios 3]" {
			t.Errorf("counters = %s", got)
		}
	})
}
