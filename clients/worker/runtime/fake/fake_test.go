package fake_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/fake"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime/runtimetest"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// TestSizesAreDrawn: attempts get results of all sizes in a range, each the same at every look.
func TestSizesAreDrawn(t *testing.T) {
	t.Parallel()
	o, err := fake.Parse("size=4KiB..64KiB")
	if err != nil || o.Size != 4<<10 || o.MaxSize != 64<<10 {
		t.Fatalf("Parse = %+v, %v", o, err)
	}
	for _, text := range []string{"size=4KiB..", "size=..4KiB", "size=4KiB..x"} {
		if _, err := fake.Parse(text); err == nil {
			t.Errorf("Parse(%q) is accepted", text)
		}
	}
}

func executor(t *testing.T, text string, die func()) runtime.Executor {
	t.Helper()
	o, err := fake.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	e, err := fake.New(t.TempDir(), o, die)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSuite(t *testing.T) {
	t.Parallel()
	with := func(text string) func(*testing.T) runtime.Executor {
		return func(t *testing.T) runtime.Executor { return executor(t, text, nil) }
	}
	runtimetest.Run(t, runtimetest.Fates{
		Succeed: with(""), Fail: with("fail"), Hang: with("hang"), Source: func(*testing.T, string) {},
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := fake.Parse(" slow=2s, fail=0.25,hang=0.5,die=0.25,lines=20,size=1MiB,stage=install ")
	want := fake.Options{Slow: 2 * time.Second, Fail: 0.25, Hang: 0.5, Die: 0.25, Lines: 20, Size: 1 << 20, Stage: "install"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Parse: %v %s", err, diff)
	}
	for _, text := range []string{"slow", "slow=-1s", "fail=2", "fail=x", "fail=NaN", "hang,die", "lines=0", "size=0", "size=20GiB", "stage=x", "quick"} {
		if _, err := fake.Parse(text); !errors.Is(err, fake.ErrOption) {
			t.Errorf("Parse(%q) = %v, want ErrOption", text, err)
		}
	}
}

func TestSharesAreDrawnByAttempt(t *testing.T) {
	t.Parallel()
	e := executor(t, "fail=0.3", nil)
	failed := 0
	for range 300 {
		w, err := e.Prepare(t.Context(), runtime.Job{BuildID: build.NewID(), Attempt: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Run(t.Context(), runtime.Command{Stage: "export", Dir: w.Dir(), Output: &bytes.Buffer{}}); err != nil {
			failed++
		}
	}
	if failed < 50 || failed > 140 {
		t.Errorf("%d of 300 failed, want about 90", failed)
	}
}

func TestTheBundleLooksLikeHermes(t *testing.T) {
	t.Parallel()
	w, err := executor(t, "size=100KiB", nil).Prepare(t.Context(), runtime.Job{BuildID: "b", Attempt: 1, Platform: build.IOS})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context(), runtime.Command{Stage: "export", Dir: w.Dir(), Output: &bytes.Buffer{}}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(w.Dir(), "freeagent-fake-dist/_expo/static/js/ios/index.hbc"))
	if err != nil || len(data) != 100<<10 || !strings.HasPrefix(string(data), fake.HermesMagic) {
		t.Errorf("bundle: %d bytes, %v", len(data), err)
	}
}

func TestDieEndsTheProcess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	died := false
	w, err := executor(t, "die,stage=install", func() { died = true; cancel() }).Prepare(t.Context(), runtime.Job{BuildID: "b", Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx, runtime.Command{Stage: "install", Output: &bytes.Buffer{}}); err == nil || !died {
		t.Errorf("Run = %v, died = %v, want an error and true", err, died)
	}
}
