package appjson_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
)

// What stands around the number stays as it is: comments, order, indentation, the byte order mark.
func TestSetNumberChangesNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		platform build.Platform
		in, want string
	}{
		{"a versionCode", build.Android, `{"expo": {"android": {"package": "a.b", "versionCode": 7 }}}`, `{"expo": {"android": {"package": "a.b", "versionCode": 42 }}}`},
		{"a buildNumber", build.IOS, "\ufeff{\n  // ours\n  expo: {ios: {buildNumber: '1.2\\'3', }},\n}\n", "\ufeff{\n  // ours\n  expo: {ios: {buildNumber: \"42\", }},\n}\n"},
		{"no key", build.Android, "{\n  \"expo\": {\n    \"android\": {\n      \"package\": \"ä.b\"\n    }\n  }\n}\n",
			"{\n  \"expo\": {\n    \"android\": {\n      \"versionCode\": 42,\n      \"package\": \"ä.b\"\n    }\n  }\n}\n"},
		{"no platform", build.IOS, "{\r\n\t\"name\": \"x\"\r\n}", "{\r\n\t\"ios\": { \"buildNumber\": \"42\" },\r\n\t\"name\": \"x\"\r\n}"},
		{"an empty platform", build.Android, `{"expo":{"android":{}}}`, `{"expo":{"android":{ "versionCode": 42 }}}`},
		{"an empty app", build.Android, `{"expo":{}}`, `{"expo":{ "android": { "versionCode": 42 } }}`},
		{"a comment first", build.Android, "{expo: {android: {/* p */ package: 'a'}}}", "{expo: {android: { \"versionCode\": 42,/* p */ package: 'a'}}}"},
	} {
		got, err := appjson.SetNumber(treeOf("app/app.json", tt.in), "app", tt.platform, "42")
		if err != nil || string(got.Data) != tt.want || got.Path != "app/app.json" {
			t.Errorf("%s: SetNumber = %q in %s, %v\nwant %q", tt.name, got.Data, got.Path, err, tt.want)
		}
		if n, err := appjson.Number(treeOf("app/app.json", string(got.Data)), "app", tt.platform); n != "42" || err != nil {
			t.Errorf("%s: Number afterwards = %q, %v", tt.name, n, err)
		}
	}
	for _, in := range []string{`{"expo": {"android": null}}`, `{"expo": {"android": {"versionCode": null}}}`, `[]`, `{"expo": {`} {
		if got, err := appjson.SetNumber(treeOf("app.json", in), ".", build.Android, "42"); err == nil {
			t.Errorf("SetNumber of %s = %q, want an error", in, got.Data)
		}
	}
	if _, err := appjson.SetNumber(treeOf("app.config.js", ""), ".", build.Android, "42"); !errors.Is(err, appjson.ErrNoStatic) {
		t.Errorf("SetNumber without a static config = %v, want ErrNoStatic", err)
	}
}

func treeOf(name, content string) fstest.MapFS {
	return fstest.MapFS{name: {Data: []byte(content)}}
}

func TestNumberIsOneThatThePlatformHas(t *testing.T) {
	t.Parallel()
	config := `{"expo": {"ios": {"buildNumber": "1.2.3"}, "android": {"versionCode": 41}}}`
	for platform, want := range map[build.Platform]string{build.IOS: "1.2.3", build.Android: "41"} {
		if got, err := appjson.Number(treeOf("app.json", config), ".", platform); got != want || err != nil {
			t.Errorf("Number(%s) = %q, %v, want %q", platform, got, err, want)
		}
	}
	for _, config := range []string{`{"expo": {"android": {"versionCode": "x"}}}`, `{}`, `{"expo": {"android": {"versionCode": 0}}}`} {
		if got, err := appjson.Number(treeOf("app.json", config), ".", build.Android); got != "" || err != nil {
			t.Errorf("Number of %s = %q, %v, want none", config, got, err)
		}
	}
}
