package appversion_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/appversion"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// app makes an app of files by name.
func app(t *testing.T, files map[string]string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root, dir
}

func content(t *testing.T, name ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The files in testdata are those of expo-template-bare-minimum 58.0.8, which prebuild starts from.
func TestSetInWhatPrebuildMakes(t *testing.T) {
	t.Parallel()
	gradle, plist, project := content(t, "testdata", "build.gradle"), content(t, "testdata", "Info.plist"), content(t, "testdata", "project.pbxproj")
	root, dir := app(t, map[string]string{
		"android/app/build.gradle": gradle, "ios/HelloWorld/Info.plist": plist, "ios/HelloWorld.xcodeproj/project.pbxproj": project,
	})
	report, err := appversion.Set(root, build.Android, "42")
	want := appversion.Report{Changes: []string{"android/app/build.gradle: versionCode 42"}}
	if d := cmp.Diff(want, report); err != nil || d != "" {
		t.Errorf("Set(android): %v %s", err, d)
	}
	if d := cmp.Diff(strings.Replace(gradle, "versionCode 1\n", "versionCode 42\n", 1), content(t, dir, "android/app/build.gradle")); d != "" {
		t.Errorf("build.gradle: %s", d)
	}
	report, err = appversion.Set(root, build.IOS, "1.2.4")
	want = appversion.Report{Changes: []string{
		"ios/HelloWorld.xcodeproj/project.pbxproj: CURRENT_PROJECT_VERSION 1.2.4", "ios/HelloWorld/Info.plist: CFBundleVersion 1.2.4",
	}}
	if d := cmp.Diff(want, report); err != nil || d != "" {
		t.Errorf("Set(ios): %v %s", err, d)
	}
	wantPlist := strings.Replace(plist, "<key>CFBundleVersion</key>\n\t<string>1</string>", "<key>CFBundleVersion</key>\n\t<string>1.2.4</string>", 1)
	if d := cmp.Diff(wantPlist, content(t, dir, "ios/HelloWorld/Info.plist")); d != "" {
		t.Errorf("Info.plist: %s", d)
	}
	wantProject := strings.ReplaceAll(project, "CURRENT_PROJECT_VERSION = 1;", "CURRENT_PROJECT_VERSION = 1.2.4;")
	if d := cmp.Diff(wantProject, content(t, dir, "ios/HelloWorld.xcodeproj/project.pbxproj")); d != "" {
		t.Errorf("project.pbxproj: %s", d)
	}
}

func TestSetInGradleFilesOfPeople(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, in, want, warning string }{
		{"Kotlin", "build.gradle.kts", "android {\n    defaultConfig {\n        versionCode = 1\n    }\n}\n", "android {\n    defaultConfig {\n        versionCode = 42\n    }\n}\n", ""},
		{"a call, a comment and a string", "build.gradle", "// defaultConfig { versionCode 1 }\ndef s = 'versionCode 5 }'\nandroid { defaultConfig { versionCode(7) } }\n",
			"// defaultConfig { versionCode 1 }\ndef s = 'versionCode 5 }'\nandroid { defaultConfig { versionCode(42) } }\n", ""},
		{"computed", "build.gradle", "defaultConfig {\n    versionCode project.hasProperty('vc') ?\n        vc as int : 1\n    versionName '1'\n}\n",
			"defaultConfig {\n    versionCode project.hasProperty('vc') ?\n        vc as int : 1\n    versionName '1'\n        versionCode = 42\n    }\n", ""},
		{"none", "build.gradle", "defaultConfig {\n    versionName \"1.${x}\" // }\n}\n", "defaultConfig {\n    versionName \"1.${x}\" // }\n        versionCode = 42\n    }\n", ""},
		{"flavors", "build.gradle", "defaultConfig { versionCode 1 }\nproductFlavors { free { versionCode 2 } }\n", "defaultConfig { versionCode 42 }\nproductFlavors { free { versionCode 42 } }\n", ""},
		{"a flavor first, none in defaultConfig", "build.gradle", "productFlavors { free { versionCode 2 } }\ndefaultConfig { a 1 }\nx { versionCode 3 }\n",
			"productFlavors { free { versionCode 42 } }\ndefaultConfig { a 1\n        versionCode = 42\n    }\nx { versionCode 42 }\n", ""},
		{"splits", "build.gradle", "defaultConfig { versionCode 1 }\noutputs.each {\n  it.versionCodeOverride = abi * 1000 + defaultConfig.versionCode\n}\n",
			"defaultConfig { versionCode 42 }\noutputs.each {\n  it.versionCodeOverride = abi * 1000 + defaultConfig.versionCode\n}\n", "build.gradle:3 computes a version code"},
		{"no block", "build.gradle", "apply from: 'x.gradle'\n", "apply from: 'x.gradle'\n", "has no block defaultConfig"},
	} {
		root, dir := app(t, map[string]string{"android/app/" + tt.file: tt.in})
		report, err := appversion.Set(root, build.Android, "42")
		if d := cmp.Diff(tt.want, content(t, dir, "android/app", tt.file)); err != nil || d != "" {
			t.Errorf("%s: %v %s", tt.name, err, d)
		}
		if got := strings.Join(report.Warnings, "\n"); !strings.Contains(got, tt.warning) || tt.warning == "" && got != "" {
			t.Errorf("%s: warnings %q, want %q", tt.name, got, tt.warning)
		}
	}
}

func TestSetInXcodeProjectsOfPeople(t *testing.T) {
	t.Parallel()
	plist := func(body string) string {
		return "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n" + body + "</dict>\n</plist>\n"
	}
	root, dir := app(t, map[string]string{
		"ios/Shop.xcodeproj/project.pbxproj": "\tINFOPLIST_FILE = \"$(SRCROOT)/My Shop/Info.plist\";\n\tINFOPLIST_FILE = Share/Info.plist;\n" +
			"\tINFOPLIST_FILE = Share/Info.plist;\n\tINFOPLIST_FILE = ../../out.plist;\n\tINFOPLIST_FILE = bin.plist;\n\tCURRENT_PROJECT_VERSION = \"1.0\";\n",
		"ios/My Shop/Info.plist": plist("\t<key>CFBundleVersion</key>\n\t<string>$(CURRENT_PROJECT_VERSION)</string>\n"),
		"ios/Share/Info.plist":   plist(""),
		"ios/bin.plist":          "bplist00",
	})
	report, err := appversion.Set(root, build.IOS, "7")
	want := appversion.Report{
		Changes: []string{
			"ios/Shop.xcodeproj/project.pbxproj: CURRENT_PROJECT_VERSION 7", "ios/My Shop/Info.plist: CFBundleVersion 7", "ios/Share/Info.plist: CFBundleVersion 7",
		},
		Warnings: []string{
			"../out.plist is not a path in the app: it keeps its own CFBundleVersion, not 7",
			"ios/bin.plist is no property list in XML: it keeps its own CFBundleVersion, not 7",
		},
	}
	if d := cmp.Diff(want, report); err != nil || d != "" {
		t.Errorf("Set: %v %s", err, d)
	}
	version := "\t<key>CFBundleVersion</key>\n\t<string>7</string>\n"
	for _, name := range []string{"My Shop", "Share"} {
		if d := cmp.Diff(plist(version), content(t, dir, "ios", name, "Info.plist")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if got := content(t, dir, "ios/Shop.xcodeproj/project.pbxproj"); !strings.Contains(got, "CURRENT_PROJECT_VERSION = 7;") {
		t.Errorf("project.pbxproj: %s", got)
	}
}

// A build can put a link where the file is expected: what it leads to stays as it is.
func TestSetFollowsNoLinkOutOfTheApp(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "build.gradle")
	const original = "defaultConfig { versionCode 1 }\n"
	if err := os.WriteFile(outside, []byte(original), 0o600); err != nil {
		t.Fatal(err)
	}
	root, dir := app(t, map[string]string{"android/app/x": ""})
	if err := os.Symlink(outside, filepath.Join(dir, "android/app/build.gradle")); err != nil {
		t.Fatal(err)
	}
	report, err := appversion.Set(root, build.Android, "42")
	if err != nil || len(report.Changes) != 0 || len(report.Warnings) != 1 {
		t.Errorf("Set = %+v, %v, want a warning", report, err)
	}
	if got := content(t, outside); got != original {
		t.Errorf("the file outside became %q", got)
	}
}

func TestSetWithoutANativeProject(t *testing.T) {
	t.Parallel()
	root, _ := app(t, nil)
	for _, p := range []build.Platform{build.Android, build.IOS} {
		report, err := appversion.Set(root, p, "42")
		if err != nil || len(report.Changes) != 0 || len(report.Warnings) != 1 {
			t.Errorf("Set(%s) = %+v, %v, want a warning", p, report, err)
		}
	}
	if _, err := appversion.Set(root, build.Android, "1.2"); err == nil {
		t.Error("a dotted versionCode was accepted")
	}
}
