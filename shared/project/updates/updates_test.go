package updates_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/updates"
)

// places of the files, by platform. Those in testdata are what "expo prebuild" makes of an app with expo-updates.
var places = map[string]string{"android": "android/app/src/main/AndroidManifest.xml", "ios": "ios/shop/Supporting/Expo.plist"}

var samples = map[string]string{"android": "AndroidManifest.xml", "ios": "Expo.plist"}

func sample(t *testing.T, platform string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", samples[platform]))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// set writes the file, sets the channel and returns the file.
func set(t *testing.T, platform, content, channel string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, filepath.FromSlash(places[platform]))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	file, err := updates.SetChannel(root, platform, channel)
	if err == nil && file != places[platform] {
		t.Errorf("changed %q", file)
	}
	data, readErr := os.ReadFile(name)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(data), err
}

// lines returns those of after that before does not have.
func lines(before, after string) (added []string) {
	had := strings.Split(before, "\n")
	for line := range strings.SplitSeq(after, "\n") {
		if len(had) > 0 && line == had[0] {
			had = had[1:]
			continue
		}
		added = append(added, strings.TrimSpace(line))
		if len(had) > 0 && strings.Contains(had[0], "UPDATES_CONFIGURATION") {
			had = had[1:]
		}
	}
	return added
}

func TestChannelJoinsOtherHeaders(t *testing.T) {
	t.Parallel()
	before := sample(t, "android")
	after, err := set(t, "android", before, "preview")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`<meta-data android:name="expo.modules.updates.UPDATES_CONFIGURATION_REQUEST_HEADERS_KEY" ` +
		`android:value="{&#34;expo-channel-name&#34;:&#34;preview&#34;,&#34;own&#34;:&#34;a \u0026 b&#34;}"/>`}
	if d := cmp.Diff(want, lines(before, after)); d != "" {
		t.Error(d)
	}
	again, err := set(t, "android", after, "preview")
	if err != nil || again != after {
		t.Errorf("a second time changes it (%v): %s", err, cmp.Diff(after, again))
	}
	after, err = set(t, "ios", sample(t, "ios"), "preview")
	if err != nil || !strings.Contains(after, "<key>expo-channel-name</key>\n      <string>preview</string>\n      <key>own</key>\n      <string>a &amp; b</string>\n    </dict>") {
		t.Errorf("%v: %s", err, after)
	}
}

func TestChannelWithoutOtherHeaders(t *testing.T) {
	t.Parallel()
	for platform, content := range map[string]string{
		"android": `<manifest xmlns:android="http://schemas.android.com/apk/res/android"><!-- < --><application>` +
			`<meta-data android:name="expo.modules.updates.EXPO_UPDATE_URL" android:value="https://u.expo.dev/1"></meta-data></application></manifest>`,
		"ios": `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "x"><plist version="1.0"><dict>` +
			`<key>EXUpdatesEnabled</key><true/><key>EXUpdatesURL</key><string>https://u.expo.dev/1</string></dict></plist>`,
	} {
		once, err := set(t, platform, content, "a.b-c")
		if err != nil || strings.Count(once, "a.b-c") != 1 {
			t.Errorf("%s: %v: %s", platform, err, once)
		}
		twice, err := set(t, platform, once, "other")
		if err != nil || strings.Contains(twice, "a.b-c") || strings.Count(twice, "other") != 1 {
			t.Errorf("%s: %v: %s", platform, err, twice)
		}
	}
}

func TestOtherProjectsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for platform := range places {
		foreign := strings.ReplaceAll(sample(t, platform), "u.expo.dev", "updates.example.com")
		for content, want := range map[string]error{foreign: updates.ErrNotConfigured, "<manifest": updates.ErrNative, "": updates.ErrNative} {
			after, err := set(t, platform, content, "preview")
			if !errors.Is(err, want) || after != content {
				t.Errorf("%s: got %v, want %v", platform, err, want)
			}
		}
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := updates.SetChannel(root, "ios", "preview"); !errors.Is(err, updates.ErrNative) {
		t.Errorf("no file: %v", err)
	}
}
