//go:build linux || darwin

package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/process"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func TestMain(m *testing.M) {
	if os.Getenv("STUBBORN") != "" {
		stubborn()
		return
	}
	m.Run() // its result becomes the exit code
}

// shell returns a command; helper is this test's own binary, for what a shell cannot do.
func shell(t *testing.T, script string) process.Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return process.Spec{
		Argv: []string{"/bin/sh", "-c", script}, Dir: dir, Mark: build.NewID(),
		Env: []string{"PATH=" + os.Getenv("PATH"), "HELPER=" + self},
	}
}

func TestRunAnswersTheStatus(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]error{
		"exit 0":       nil,
		"exit 7":       &process.ExitError{Code: 7},
		"kill -9 $$":   &process.ExitError{Code: -1, Signal: "killed"},
		"sleep 60 & :": nil,
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := shell(t, script)
			t.Cleanup(func() { _ = process.Kill(s.Mark) })
			s.Output = &bytes.Buffer{}
			if diff := cmp.Diff(want, process.Run(t.Context(), s)); diff != "" {
				t.Errorf("Run: %s", diff)
			}
		})
	}
}

func TestRunSaysWhatCouldNotStart(t *testing.T) {
	t.Parallel()
	s := shell(t, "")
	s.Argv = []string{"/does/not/exist"}
	var exit *process.ExitError
	if err := process.Run(t.Context(), s); err == nil || errors.As(err, &exit) {
		t.Errorf("Run = %v, want an error that is no exit status", err)
	}
}

func TestRunKeepsOrderAndMarks(t *testing.T) {
	t.Parallel()
	s := shell(t, `echo one; echo two >&2; echo "$FREEAGENT_BUILD_ATTEMPT"`)
	var out bytes.Buffer
	s.Output = &out
	if err := process.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "one\ntwo\n"+s.Mark+"\n"; got != want {
		t.Errorf("output = %q, want %q", got, want)
	}
}

// stubborn leaves the session, ignores SIGTERM and says its number.
func stubborn() {
	_, _ = syscall.Setsid()
	ignoreTerm()
	name := os.Getenv("STUBBORN")
	if err := os.WriteFile(name+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return
	}
	_ = os.Rename(name+".new", name)
	<-time.After(time.Minute)
}

func TestCancelEndsTheTree(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"child":                           `STUBBORN=pid "$HELPER"`,
		"grandchild in a session":         `(STUBBORN=pid "$HELPER" &) ; trap "" TERM; while :; do sleep 1; done`,
		"without environment":             `trap "" TERM; env -i STUBBORN=pid "$HELPER"; sleep 60`,
		"forking again and again":         `trap "" TERM; STUBBORN=pid "$HELPER" & while :; do sleep 0.01 & done`,
		"the parent has ended long since": `(STUBBORN=pid "$HELPER" &) & sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shell(t, script)
			ctx, cancel := context.WithCancelCause(t.Context())
			wanted := errors.New("enough")
			ended := make(chan error, 1)
			go func() { ended <- process.Run(ctx, s) }()
			pid := awaitPid(t, filepath.Join(s.Dir, "pid"))
			begin := time.Now()
			cancel(wanted)
			if err := <-ended; !errors.Is(err, wanted) || errors.Is(err, process.ErrSurvived) {
				t.Errorf("Run = %v, want %v", err, wanted)
			}
			if took := time.Since(begin); took > time.Second+raceSlack {
				t.Errorf("the tree took %s to end, want under 1 s", took)
			}
			awaitDeath(t, pid)
		})
	}
}

func TestKillFindsOrphans(t *testing.T) {
	t.Parallel()
	s := shell(t, `STUBBORN=pid "$HELPER" &`)
	if err := process.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	pid := awaitPid(t, filepath.Join(s.Dir, "pid"))
	if err := process.Kill("somebody else's"); err != nil || !alive(pid) {
		t.Fatalf("Kill of another build: %v; alive = %v, want true", err, alive(pid))
	}
	if err := process.Kill(s.Mark); err != nil {
		t.Fatal(err)
	}
	awaitDeath(t, pid)
}

// awaitDeath gives a process that runs nothing any more, and has given its memory back, the moment until the kernel calls it
// dead.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); alive(pid); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

func awaitPid(t *testing.T, name string) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if b, err := os.ReadFile(name); err == nil {
			n, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s did not appear", name)
	return 0
}

// alive is false for a zombie as well: nobody may have reaped it yet.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// TestGrace: who handles SIGTERM may clean up, with programs that are started for that; who ignores it is killed after the grace.
func TestGrace(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]struct {
		grace, least, most time.Duration
		out                string
	}{
		"trap 'sleep 1; echo cleaned up; exit 1' TERM; sleep 60 & sleep 0.2; echo up; wait": {30 * time.Second, time.Second, 20 * time.Second, "up\ncleaned up\n"},
		"trap '' TERM; echo up; sleep 60": {time.Second, time.Second, 20 * time.Second, "up\n"},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			s, up := shell(t, script), make(chan time.Time, 1)
			var out bytes.Buffer
			s.Grace, s.Output = want.grace, writerFunc(func(p []byte) (int, error) {
				select {
				case up <- time.Now():
					cancel()
				default:
				}
				return out.Write(p)
			})
			if err := process.Run(ctx, s); !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v", err)
			}
			if took := time.Since(<-up); took < want.least || took > want.most || out.String() != want.out {
				t.Errorf("ended after %s with %q, want %q after %s to %s", took, out.String(), want.out, want.least, want.most)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
