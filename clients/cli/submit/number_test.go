package submit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/submit"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
)

// A terminal is asked for the last number, with that of the app config as the proposal, until the answer is a number.
func TestTerminalIsAskedForTheLastNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, answers, want string }{
		{"return alone means the proposal", "\n", "Build number 42."},
		{"another number", "99\n", "Build number 100."},
		{"a number after answers that are not one", "9x\n0\n7\n", "Build number 8."},
		{"a line that ends with the file", "7", "Build number 8."},
	} {
		s := apitest.New(t)
		out, errs, err := submitWith(t, s, tt.answers)
		if err != nil || !strings.Contains(out, tt.want) || !strings.Contains(errs, "Last versionCode used [41]: ") {
			t.Errorf("%s: %v, want %s\n%s%s", tt.name, err, tt.want, out, errs)
		}
	}
	s := apitest.New(t)
	if _, _, err := submitWith(t, s, ""); err == nil || !strings.Contains(err.Error(), "Nothing was submitted") || len(s.Submissions()) != 0 {
		t.Errorf("without an answer: %v", err)
	}
}

func submitWith(t *testing.T, s *apitest.Server, answers string) (out, errs string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"package.json": `{"name": "shop"}`, "app.json": `{"expo": {"android": {"versionCode": 41}}}`,
		"eas.json": `{"cli": {"appVersionSource": "remote"}, "build": {"production": {"autoIncrement": true}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	env := map[string]string{"FREEAGENT_URL": s.URL, "FREEAGENT_API_KEY": apitest.Key}
	cmd := submit.New(session.IO{
		In: strings.NewReader(answers), Out: &stdout, Err: &stderr, InTTY: true, ErrTTY: true,
		Getenv: func(name string) string { return env[name] }, Now: time.Now,
	})
	cmd.SetArgs([]string{dir, "--platform", "android", "--no-git"})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}
