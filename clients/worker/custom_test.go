//go:build linux || darwin

package worker_test

import (
	"strings"
	"testing"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// customApp is workspaceApp with a profile "custom" and its file.
func customApp(t *testing.T, profile, build string, more ...string) []byte {
	t.Helper()
	return workspaceApp(t, `"eas-build-pre-install":"echo said hook"`, append(more,
		"apps/shop/eas.json", `{"build":{"custom":{"config":"main.yml","env":{"API":"https://api.example.com","MANIFEST":"`+
			`<manifest xmlns:android='http://schemas.android.com/apk/res/android'><application>`+
			`<meta-data android:name='expo.modules.updates.EXPO_UPDATE_URL' android:value='https://u.expo.dev/1'/></application></manifest>"}`+profile+`}}}`,
		"apps/shop/.eas/build/main.yml", build)...)
}

func (f *farm) submitCustom(source []byte) string {
	f.t.Helper()
	return f.submitWith(source, func(b *schedulerv1.Build) {
		b.Profile = "custom"
		b.Settings = &schedulerv1.BuildSettings{AppPath: "apps/shop"}
	})
}

// TestCustomBuild: steps run in order with their inputs, outputs, variables and directories, without npm hooks, and deliver what they upload.
func TestCustomBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	id := f.submitCustom(customApp(t, "", `
import: [lib/functions.yml]
build:
  name: Shop
  steps:
    - eas/checkout
    - run: test ! -e ../../node_modules && echo said $API in $(basename "$PWD")
    - eas/use_npm_token
    - eas/install_node_modules
    - greet: {id: hello, inputs: {name: 'Jo "J" O'}}
    - run:
        name: Show the greeting
        working_directory: lib
        env: {LOUD: very loud, SET: here, APP_TOKEN: tok-abcdef-123}
        inputs: {text: '${ steps.hello.text }'}
        command: |
          set-env SET there
          echo said $(basename "$PWD"), '${ inputs.text }', $LOUD, $SET, $APP_TOKEN
    - run: {shell: node, command: "console.log('said', 'node', process.env.SET)"}
    - run: {if: '${{ steps.hello.outputs.text == "" }}', command: echo said never}
    - run: npx expo export && mkdir out && echo app >out/app.bin
    - eas/upload_artifact: {inputs: {path: 'apps/shop/out/*.bin'}}
    - run: {if: '${ always() }', command: echo said always}
`, "apps/shop/.eas/build/lib/functions.yml", `
functions:
  greet:
    inputs: [name]
    outputs: [text]
    command: set-output text 'Hi ${ inputs.name }'
`, "apps/shop/lib/.keep", ""))
	got := f.finished(id)
	log := f.logOf(id)
	if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED {
		t.Fatalf("finish = %v; log:\n%s", got, log)
	}
	want := `https://api.example.com in shop; lib, Hi Jo "J" O, very loud, here, [secret]; node there; always`
	if said := hooksSaid(log); said != want {
		t.Errorf("said %q, want %q; log:\n%s", said, want, log)
	}
	for _, want := range []string{"▸ Show-the-greeting: Show the greeting", "▸ install: ", "NPM_TOKEN is not set", "result: app.bin"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestCustomBuildFails: after a step that failed, those run that ask for it, and the reason is the first failure.
func TestCustomBuildFails(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	for name, tt := range map[string]struct{ steps, said, reason string }{
		"a command": {
			"[{run: exit 3}, {run: echo said skipped}, {run: {if: '${ failure() }', command: echo said failure}}, {run: {if: '${ always() }', command: exit 4}}]",
			"failure", "exit-3 failed with exit code 3",
		},
		"an output is missing": {
			"[{run: {name: out, outputs: [v], command: 'true'}}, {run: {if: '${ always() }', command: 'echo said always'}}]", "always", `the output "v" was not set`,
		},
		"an upload finds nothing": {"[{eas/upload_artifact: {inputs: {path: none.apk}}}]", "", "there is nothing to upload at none.apk"},
		"an upload outside":       {"[{eas/upload_artifact: {inputs: {path: ../../x}}}]", "", "is not a path inside the project"},
		"no such directory":       {"[{run: {working_directory: none, command: 'true'}}]", "", `working_directory "none" is not a directory`},
		"a link to the outside":   {"[{run: ln -s / out}, {run: {working_directory: out, command: 'true'}}]", "", `working_directory "out" is not a directory`},
		"a timeout": {
			"[{run: {name: slow, timeout_minutes: 0.002, command: sleep 600}}, {run: {if: '${ failure() }', command: 'echo said failure'}}]",
			"failure", `step "slow" timed out after`,
		},
		"a value of the wrong type": {
			"[{run: {id: a, outputs: [n], command: set-output n many}}, {f: {inputs: {n: '${ steps.a.n }'}}}]}\nfunctions: {f: {inputs: [{name: n, type: number}], command: 'true'}",
			"", `the input "n" must be of type number (got "many")`,
		},
		"what is not supported": {"[eas/start_android_emulator]", "", "eas/start_android_emulator is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			id := f.submitCustom(customApp(t, "", "build: {steps: "+tt.steps+"}\n"))
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_FAILED || !strings.Contains(got.GetError(), tt.reason) {
				t.Fatalf("finish = %v, want %q; log:\n%s", got, tt.reason, log)
			}
			if said := hooksSaid(log); said != tt.said {
				t.Errorf("said %q, want %q; log:\n%s", said, tt.said, log)
			}
		})
	}
}

// TestCustomBuildOfAll: eas/build runs the usual stages without hooks, between other steps; a build without uploads succeeds, too.
func TestCustomBuildOfAll(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	for name, tt := range map[string]struct{ steps, said, result string }{
		"all":        {"[{run: echo said before}, eas/build, {run: echo said $(cat dist/made)}]", "before; export --platform android --output-dir dist", "result: shop-android.tar.gz"},
		"no uploads": {"[eas/checkout, {run: echo said it}]", "it", "result: shop-android.tar.gz"},
		"a channel": {
			"[{run: 'mkdir -p android/app/src/main && echo $MANIFEST >android/app/src/main/AndroidManifest.xml'}, eas/configure_eas_update, " +
				"{run: 'echo said $(grep -o expo-channel-name.*beta android/app/src/main/AndroidManifest.xml)'}]",
			`expo-channel-name&#34;:&#34;beta`, "set in android/app/src/main/AndroidManifest.xml",
		},
		"a directory": {"[{run: mkdir out && echo x >out/x}, {eas/upload_artifact: {inputs: {path: apps/shop/out}}}]", "", "result: shop-android.tar.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			id := f.submitCustom(customApp(t, `,"channel":"beta"`, "build: {steps: "+tt.steps+"}\n"))
			got := f.finished(id)
			log := f.logOf(id)
			if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED || !strings.Contains(log, tt.result) {
				t.Fatalf("finish = %v; log:\n%s", got, log)
			}
			if said := hooksSaid(log); said != tt.said {
				t.Errorf("said %q, want %q; log:\n%s", said, tt.said, log)
			}
		})
	}
}

// TestCustomBuildsShareInstalls: an install is taken from the cache, unless a command before it may have changed what it depends on.
func TestCustomBuildsShareInstalls(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	app := func(first string) []byte {
		return customApp(t, "", "build: {steps: ["+first+", eas/install_node_modules, {run: test -e ../../node_modules/expo}]}\n")
	}
	plain := app("eas/use_npm_token")
	for i, tt := range []struct {
		source []byte
		want   string
	}{
		{plain, "install kept"}, {plain, "install from the cache"},
		{app("{run: echo > ../../new}"), "install is not cached: steps ran before it"},
	} {
		id := f.submitWith(tt.source, func(b *schedulerv1.Build) {
			b.Profile, b.Project, b.Settings = "custom", "shop", &schedulerv1.BuildSettings{AppPath: "apps/shop"}
			b.Origin = &schedulerv1.Origin{Branch: "main"}
		})
		got := f.finished(id)
		if log := f.logOf(id); got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED || !strings.Contains(log, tt.want) {
			t.Fatalf("build %d: finish = %v, want %q; log:\n%s", i, got, tt.want, log)
		}
	}
}

// TestBuildThatWritesToItsInstall: the next build gets the install's files themselves, unless the last one has written to them.
func TestBuildThatWritesToItsInstall(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.start(f.shell(t.TempDir()), nil)
	app := func(after string) []byte {
		return customApp(t, "", "build: {steps: [eas/install_node_modules, {run: 'cd ../../node_modules; echo said $(wc -c < .package-lock.json) $(ls -A); "+after+"'}]}\n")
	}
	plain := app("true")
	var first string
	for i, tt := range []struct {
		source []byte
		want   string
	}{
		{plain, "install kept"}, {plain, ", moved in"},
		{app("mkdir .cache; date > .cache/time"), ", moved in"}, {plain, ", moved in"},
		{app("echo >> .package-lock.json"), ", moved in"}, {plain, ", unpacked in"},
		{app("rm -r expo"), ", moved in"}, {plain, ", unpacked in"}, {plain, ", moved in"},
	} {
		id := f.submitWith(tt.source, func(b *schedulerv1.Build) {
			b.Profile, b.Project, b.Settings = "custom", "shop", &schedulerv1.BuildSettings{AppPath: "apps/shop"}
			b.Origin = &schedulerv1.Origin{Branch: "main"}
		})
		got := f.finished(id)
		log := f.logOf(id)
		if got.GetOutcome() != schedulerv1.FinishRequest_OUTCOME_COMPLETED || !strings.Contains(log, tt.want) {
			t.Fatalf("build %d: finish = %v, want %q; log:\n%s", i, got, tt.want, log)
		}
		if i == 0 {
			first = hooksSaid(log)
		}
		if said := hooksSaid(log); said != first || said == "" {
			t.Errorf("build %d has an install of %q, the first has %q", i, said, first)
		}
	}
}
