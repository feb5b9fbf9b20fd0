package standalone_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/paths"
)

func TestSubmitIsThereAfterARestart(t *testing.T) {
	cfg := config(t)
	s := start(t, cfg)
	sub, err := s.client().Builds.Submit(t.Context(), api.Submit{Platform: "android", Project: "hello", Source: project(t)})
	if err != nil {
		t.Fatal(err)
	}
	if sub.Status != "pending" || len(sub.Warnings) != 1 || sub.AccessToken == "" {
		t.Errorf("submitted = %+v", sub)
	}
	key := s.Key()
	s.stop()

	s = start(t, cfg)
	if s.Key() != key {
		t.Error("the admin key changed over a restart")
	}
	b, err := s.client().Builds.Get(t.Context(), sub.ID)
	if err != nil || b.Status != "pending" || !strings.HasPrefix(b.WaitingFor, "No connected worker can build android") {
		t.Errorf("build = %+v, %v", b, err)
	}
	var lines []api.LogLine
	err = s.client().Builds.ReadLog(t.Context(), sub.ID, func(l api.LogLine) error { lines = append(lines, l); return nil })
	if err != nil || len(lines) != 2 || lines[0].Text != "Build submitted" {
		t.Errorf("log = %+v, %v", lines, err)
	}
	byToken, err := api.New(api.Config{BaseURL: s.URL(), BuildToken: sub.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := byToken.Builds.Get(t.Context(), sub.ID); err != nil {
		t.Errorf("with the build's token alone: %v", err)
	}
	if _, err := byToken.Builds.Cancel(t.Context(), sub.ID); err == nil {
		t.Error("the build's token cancels")
	}
}

func TestFollowedLogEndsWithTheBuild(t *testing.T) {
	s := start(t, config(t))
	c := s.client()
	sub, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: project(t)})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	ended, err := c.Builds.FollowLog(t.Context(), sub.ID, func(l api.LogLine) error {
		texts = append(texts, l.Text)
		if len(texts) == 2 { // the follower is live: now end it
			_, err := c.Builds.Cancel(t.Context(), sub.ID)
			return err
		}
		return nil
	})
	if err != nil || ended.Status != "cancelled" || texts[len(texts)-1] != "Build cancelled" {
		t.Errorf("FollowLog = %+v, %v; lines %q", ended, err, texts)
	}
	again := 0
	if _, err := c.Builds.FollowLog(t.Context(), sub.ID, func(api.LogLine) error { again++; return nil }); err != nil || again != len(texts) {
		t.Errorf("followed after its end: %d lines, %v, want %d", again, err, len(texts))
	}
}

func TestBadSubmits(t *testing.T) {
	s := start(t, config(t))
	c := s.client()
	for name, tt := range map[string]struct {
		sub  api.Submit
		want error
		says string
	}{
		"text":        {api.Submit{Platform: "ios", Source: strings.NewReader("neither zip nor gzip")}, build.ErrBadArchive, ""},
		"empty":       {api.Submit{Platform: "ios", Source: strings.NewReader("")}, build.ErrBadArchive, "empty"},
		"no platform": {api.Submit{Platform: "windows", Source: project(t)}, build.ErrInvalid, "neither ios nor android"},
		"traversal":   {api.Submit{Platform: "ios", Source: evilArchive(t)}, build.ErrBadArchive, ".."},
	} {
		_, err := c.Builds.Submit(t.Context(), tt.sub)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: Submit = %v, want %v saying %q", name, err, tt.want, tt.says)
		}
	}
	if list, err := c.Builds.List(t.Context(), api.ListOptions{}); err != nil || len(list.Builds) != 0 {
		t.Errorf("builds = %+v, %v, want none", list, err)
	}
	if left := storedObjects(t, s); len(left) != 0 {
		t.Errorf("objects left behind: %v", left)
	}
}

// A big file that compresses well is no bomb.
func TestSubmitOfASparseFile(t *testing.T) {
	s := start(t, config(t))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name":"hello"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "seed.db"))
	if err == nil {
		err = errors.Join(f.Truncate(100<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if _, err := archive.PackTarGz(t.Context(), &packed, dir, archive.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client().Builds.Submit(t.Context(), api.Submit{Platform: "ios", Source: &packed}); err != nil {
		t.Errorf("Submit = %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	cfg := config(t)
	s := start(t, cfg)
	if _, err := standalone.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use by another freeagent process") {
		t.Errorf("the same directory twice: %v", err)
	}
	other := config(t)
	other.Listen = strings.TrimPrefix(s.URL(), "http://")
	if _, err := standalone.Open(t.Context(), other); err == nil || !strings.Contains(err.Error(), "taken by another process") {
		t.Errorf("the same port twice: %v", err)
	}
	other = config(t)
	other.Dir = filepath.Join(other.Dir, "file")
	if err := os.WriteFile(other.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := standalone.Open(t.Context(), other); err == nil || !strings.Contains(err.Error(), "cannot be made") {
		t.Errorf("a file for a directory: %v", err)
	}
	other = config(t)
	other.Key = "short"
	if _, err := standalone.Open(t.Context(), other); err == nil || !strings.Contains(err.Error(), "must have at least 16 characters") {
		t.Errorf("a short key: %v", err)
	}
}

func TestAdminKeyIsPrivate(t *testing.T) {
	cfg := config(t)
	s := start(t, cfg)
	info, err := os.Stat(paths.AdminKeyFile(cfg.Dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("admin key file: %v, %v, want mode 0600", info.Mode(), err)
	}
	wrong, err := api.New(api.Config{BaseURL: s.URL(), Key: "0123456789abcdef0123"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Builds.List(t.Context(), api.ListOptions{}); err == nil || err.Error() != "Invalid API key" {
		t.Errorf("a wrong key: %v", err)
	}
}
