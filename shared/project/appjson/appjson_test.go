package appjson_test

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/appjson"
	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

func tree(files ...string) fstest.MapFS {
	t := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		t["apps/shop/"+files[i]] = &fstest.MapFile{Data: []byte(files[i+1]), Mode: 0o644}
	}
	return t
}

const config = "\ufeff{\n  // comment\n  expo: {\n    icon: './assets/icon.png',\n    splash: {image: 'assets/splash.png'},\n" +
	"    android: {adaptiveIcon: {foregroundImage: './assets/front.png'}, googleServicesFile: './google-services.json'},\n" +
	"    ios: {icon: {dark: './assets/dark.png'}, googleServicesFile: '../secret.plist'},\n" +
	"    plugins: ['expo-router', ['expo-splash-screen', {image: './assets/logo.png'}]],\n" +
	"    notification: {icon: 'https://example.com/icon.png'},\n  },\n}\n"

func TestCheckNamesMissingFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what, platform string
		files, want    []string
	}{
		{"android", "android", []string{"app.json", config, "assets/splash.png", ""}, []string{
			"apps/shop/app.json:6: expo.android.googleServicesFile names apps/shop/google-services.json",
			"apps/shop/app.json:4: expo.icon names apps/shop/assets/icon.png",
			"apps/shop/app.json:6: expo.android.adaptiveIcon.foregroundImage names apps/shop/assets/front.png",
			"apps/shop/app.json:8: expo.plugins.expo-splash-screen.image names apps/shop/assets/logo.png",
		}},
		{"ios", "ios", []string{"app.json", config, "assets/icon.png", "", "assets/logo.png", "", "assets/splash.png", ""}, []string{
			"apps/shop/app.json:7: expo.ios.googleServicesFile names apps/secret.plist",
			"apps/shop/app.json:7: expo.ios.icon.dark names apps/shop/assets/dark.png",
		}},
		{"a native project is there", "android", []string{"app.json", config, "android/build.gradle", ""}, []string{
			"apps/shop/app.json:6: expo.android.googleServicesFile names apps/shop/google-services.json",
		}},
		{"a dynamic config", "android", []string{"app.json", config, "app.config.ts", ""}, nil},
		{"app.config.json comes first", "android", []string{"app.json", config, "app.config.json", `{"icon": "a.png"}`}, []string{
			"apps/shop/app.config.json:1: icon names apps/shop/a.png",
		}},
		{"no config", "android", nil, nil},
		{"odd values", "android", []string{"app.json", `{"expo": {"icon": 5, "splash": "x", "plugins": {"a": 1}, "android": null}}`}, nil},
	} {
		files := tree(tt.files...)
		missing, err := appjson.Check(files, "apps/shop", tt.platform, func(name string) bool { return files[name] != nil })
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		var got []string
		for _, m := range missing {
			got = append(got, m.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.what, d)
		}
	}
}

func TestCheckNamesThePlaceOfASyntaxError(t *testing.T) {
	t.Parallel()
	_, err := appjson.Check(tree("app.json", "{\n  \"expo\": {\n    \"name\": \"x\"\n    \"slug\": \"x\"\n  }\n}\n"), "apps/shop", "ios", func(string) bool { return true })
	syntax, ok := errors.AsType[*jsonfile.SyntaxError](err)
	if !ok || syntax.Line != 4 || syntax.Column != 5 || syntax.File != "apps/shop/app.json" {
		t.Errorf("%v", err)
	}
}
