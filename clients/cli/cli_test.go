package cli_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"freeagent": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Execute(ctx, cli.NewRoot(os.Stdout, os.Stderr, os.Getenv), os.Args[1:])
		stop()
		os.Exit(code)
	}})
}

type serverKey struct{}

// TestScripts runs the command as people and scripts do, each script against a server of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			s := apitest.New(e.T().(testing.TB))
			e.Values[serverKey{}] = s
			e.Setenv("FREEAGENT_URL", s.URL)
			e.Setenv("FREEAGENT_API_KEY", apitest.Key)
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_DATA_HOME", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"server": server, "await": await, "exits": exits, "hook": hook},
	})
}

// server arranges the far end: add BUILD STATUS [RESULT], log BUILD TEXT, finish BUILD STATUS
// (BUILD may be NEWEST), keep BUILD TEXT, warn TEXT, limit BYTES, name BUILD NAME, refuse PATH STATUS CODE DETAIL, cut PATH BYTES
// TIMES, damage PATH, received; of webhooks: deliver ID EVENT STATE [NOTE] (to the one made last),
// answers STATUS, token; values PROJECT, of variables; serve PATH FILE: what GET of a path below /api/v2 gives.
func server(ts *testscript.TestScript, _ bool, args []string) {
	s, ok := ts.Value(serverKey{}).(*apitest.Server)
	if !ok || len(args) == 0 {
		ts.Fatalf("server: no server, or nothing to do")
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		ts.Check(err)
		return n
	}
	verb, args := args[0], args[1:]
	if len(args) > 0 && args[0] == "NEWEST" {
		args[0] = newest(ts, s)
	}
	switch verb {
	case "add":
		s.Add(api.Build{ID: args[0], Status: args[1], Platform: "android", Project: "shop", Pool: "default", Attempt: 1}, []byte(strings.Join(args[2:], " ")))
	case "log":
		s.Log(args[0], strings.NewReplacer(`\e`, "\x1b", `\a`, "\a").Replace(args[1]))
	case "finish":
		s.Finish(args[0], args[1], []byte("the app"))
	case "keep":
		s.Keep(args[0], []byte(strings.Join(args[1:], " ")))
	case "limit":
		s.MaxSource(int64(number(args[0])))
	case "warn":
		s.Warn(args[0])
	case "name":
		s.Set(args[0], func(b *api.Build) { b.Result.Name = args[1] })
	case "damage":
		s.Set(args[0], func(b *api.Build) { b.Result.SHA256 = strings.Repeat("0", 64) })
	case "refuse":
		s.Break(apitest.Fault{Path: args[0], Times: 100, Status: number(args[1]), Code: args[2], Detail: args[3]})
	case "cut":
		s.Break(apitest.Fault{Path: args[0], CutAfter: number(args[1]), Times: number(args[2])})
	case "received":
		for _, sub := range s.Submissions() {
			fmt.Fprintln(ts.Stdout(), sub.Fields["platform"], sub.Fields["project"], sub.Source.Name)
			fmt.Fprintln(ts.Stdout(), strings.Join(sub.Entries, "\n"))
			for _, name := range []string{"repository", "branch", "commit", "app_path", "modified", "build_number"} {
				if v := sub.Fields[name]; v != "" {
					fmt.Fprintln(ts.Stdout(), name, v)
				}
			}
			if sub.Certs != nil {
				fmt.Fprintln(ts.Stdout(), "certs", sub.Certs.Size)
			}
		}
	case "serve":
		s.Serve(args[0], []byte(ts.ReadFile(args[1])))
	case "deliver":
		s.Deliver(api.Delivery{ID: args[0], Event: args[1], Subject: "b1", State: args[2], Note: strings.Join(args[3:], " "), Attempts: 12})
	case "answers":
		s.Answer(number(args[0]))
	case "token":
		if token := s.LastToken(); token != nil {
			fmt.Fprintln(ts.Stdout(), *token)
		}
	case "values":
		for name, value := range s.Values(args[0]) {
			fmt.Fprintf(ts.Stdout(), "%s=%q\n", name, value)
		}
	default:
		ts.Fatalf("server %s: no such verb", verb)
	}
}

// hook puts the id of the webhook that was made last into a variable.
func hook(ts *testscript.TestScript, _ bool, args []string) {
	s, ok := ts.Value(serverKey{}).(*apitest.Server)
	if !ok || len(args) != 1 {
		ts.Fatalf("hook: no server, or no variable")
	}
	c, err := api.New(api.Config{BaseURL: s.URL, Key: apitest.Key})
	ts.Check(err)
	list, err := c.Webhooks.List(context.Background())
	ts.Check(err)
	if len(list.Webhooks) == 0 {
		ts.Fatalf("no webhook was made")
	}
	ts.Setenv(args[0], list.Webhooks[len(list.Webhooks)-1].ID)
}

// newest is the build that was submitted last, "" before the first.
func newest(ts *testscript.TestScript, s *apitest.Server) string {
	c, err := api.New(api.Config{BaseURL: s.URL, Key: apitest.Key})
	ts.Check(err)
	list, err := c.Builds.List(context.Background(), api.ListOptions{Limit: 1})
	ts.Check(err)
	if len(list.Builds) == 0 {
		return ""
	}
	return list.Builds[0].ID
}

// await waits until the server was asked for a path: what runs in the background has come that far.
func await(ts *testscript.TestScript, _ bool, args []string) {
	s, ok := ts.Value(serverKey{}).(*apitest.Server)
	if !ok {
		ts.Fatalf("await: no server")
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		want := args[0]
		if strings.Contains(want, "NEWEST") {
			want = strings.ReplaceAll(want, "NEWEST", newest(ts, s))
		}
		for _, r := range s.Requests() {
			if strings.Contains(r, want) {
				return
			}
		}
	}
	ts.Fatalf("the server was not asked for %s, but for %q", args[0], s.Requests())
}

// exits runs the command and wants an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		var exit interface{ ExitCode() int }
		if !asExit(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func asExit(err error, target *interface{ ExitCode() int }) bool {
	exit, ok := err.(interface{ ExitCode() int })
	if ok {
		*target = exit
	}
	return ok
}
