package custom_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/custom"
)

// load loads .eas/build/main.yml of the app in apps/shop. files are names below .eas/build and contents.
func load(t *testing.T, files ...string) (*custom.Build, error) {
	t.Helper()
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree["apps/shop/.eas/build/"+files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return custom.Load(tree, "apps/shop", "main.yml")
}

func mustLoad(t *testing.T, files ...string) *custom.Build {
	t.Helper()
	b, err := load(t, files...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs a build as the worker does, with a shell that understands "set NAME VALUE" and "fail". It returns the commands that ran.
func run(t *testing.T, b *custom.Build, env map[string]string) (ran []string) {
	t.Helper()
	c := custom.Context{
		Env: env, System: custom.Linux, Outputs: map[string]map[string]string{}, Job: map[string]any{"platform": "android", "updates": map[string]any{"channel": "beta"}},
	}
	for _, s := range b.Steps {
		ok, err := s.ShouldRun(c)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		r, err := s.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		ran = append(ran, r.Command)
		set := map[string]string{}
		if words := strings.Fields(r.Command); len(words) == 3 && words[0] == "set" {
			set[words[1]] = words[2]
		}
		c.Outputs[s.ID] = set
		if s.CheckOutputs(set) != nil || r.Command == "fail" {
			c.Failed = true
		}
	}
	return ran
}

func TestStepsRunWithTheirValues(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "main.yml", `
import: [more/greet.yml]
functions:
  twice:
    inputs: [{name: n, type: number}, {name: how, default_value: plain, allowed_values: [plain, loud]}]
    outputs: [{name: result}]
    command: set result ${ inputs.n }${inputs.n}-${ inputs.how }
build:
  name: All of it
  steps:
    - run: echo ${HOME} "${ eas.env.A }" ${{ env.A + '!' }} $(date) ${undefined}
    - twice: {id: t1, inputs: {n: 4}}
    - twice: {id: t2, env: {HOW: loud}, inputs: {n: 5, how: '${ eas.env.HOW }'}}
    - run:
        name: Show
        inputs: {first: '${ steps.t1.result }', data: {a: [1, '${{ steps.t2.outputs.result }}']}}
        command: "${ inputs.first } ${ inputs.data } ${ eas.runtimePlatform } ${ eas.job.updates.channel }"
    - greet: {inputs: {name: 'a\tb'}}
    - run: {if: "${{ env.A == 'x' && steps.t1.outputs.result === '44-plain' }}", command: yes}
    - run: {if: "inputs.go", inputs: {go: false}, command: not run}
    - run: {if: "${ failure() }", command: not run}
    - run: fail
    - run: not run
    - run: {if: "${ always() }", command: cleanup}
    - run: {if: "${ failure() && !success() }", command: report}
`, "more/greet.yml", `
import: [../main2.yml]
functions:
  greet: {inputs: [name], command: "hi ${ inputs.name }"}
  twice: {command: not this one}
`, "main2.yml", "functions: {}\n")
	want := []string{
		`echo ${HOME} "x" x! $(date) ${undefined}`, "set result 44-plain", "set result 55-loud",
		`44-plain {"a":[1,"55-loud"]} linux beta`, "hi a\tb", "yes", "fail", "cleanup", "report",
	}
	if d := cmp.Diff(want, run(t, b, map[string]string{"A": "x"})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{".eas/build/main.yml", ".eas/build/more/greet.yml", ".eas/build/main2.yml"}, b.Files); d != "" {
		t.Error(d)
	}
	if b.Steps[1].Name != "twice" || b.Steps[0].ID != "step-001" {
		t.Errorf("steps: %+v", b.Steps[:2])
	}
}

// What a step refers to must be there when it runs, as on EAS.
func TestMissingValues(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "main.yml", "build: {steps: [{run: 'echo ${ eas.env.NONE }'}, {run: 'echo \"${{ env.NONE }}\"'}]}")
	if _, err := b.Steps[0].Render(custom.Context{}); err == nil || !strings.Contains(err.Error(), "eas.env.NONE has no value") {
		t.Errorf("got %v", err)
	}
	if r, err := b.Steps[1].Render(custom.Context{}); err != nil || r.Command != `echo ""` {
		t.Errorf("got %q, %v", r.Command, err)
	}
}

// TestValuesAreNotEvaluatedAgain: an output with the text of an expression stays text.
func TestValuesAreNotEvaluatedAgain(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "main.yml", `
build:
  steps:
    - run: {id: a, outputs: [v], command: "set v ${{'${'}}eas.env.SECRET}"}
    - run: {inputs: {v: '${ steps.a.v }'}, command: 'echo ${ inputs.v } ${ steps.a.v }'}
`)
	want := []string{"set v ${eas.env.SECRET}", "echo ${eas.env.SECRET} ${eas.env.SECRET}"}
	if d := cmp.Diff(want, run(t, b, map[string]string{"SECRET": "s"})); d != "" {
		t.Error(d)
	}
}

func TestFaultyBuildsAreRefused(t *testing.T) {
	t.Parallel()
	steps := func(s string) string { return "build:\n  steps:\n    - " + s + "\n" }
	for text, want := range map[string]string{
		"":                                       "main.yml is empty",
		"build: {steps: []}":                     "build must have 1 to 200 steps",
		"build: [":                               "main.yml: line 1",
		"functions: {}":                          "needs the key build",
		steps("go"):                              `main.yml:3: there is no function "go"`,
		steps("{run: a, name: b}"):               "a step must have one key",
		steps("{run: {comand: a}}"):              `main.yml:3: a step cannot have "comand"`,
		steps("{run: {name: a}}"):                "run must have a command",
		steps("{run: 5}"):                        "run must be text",
		steps("{run: {command: a, command: b}}"): "mapping key \"command\" already defined",
		steps("{run: {command: a, if: true}}"):   "if must be text",
		steps("{run: {command: a, timeout_minutes: 0}}"):                                                   "timeout_minutes must be",
		steps("{run: {command: a, env: {FREEAGENT_X: b}}}"):                                                "cannot be the name of a variable",
		steps("{run: '${ inputs.a }'}"):                                                                    `there is no input "a"`,
		steps("{run: '${ steps.a.b }'}"):                                                                   `refers to the step "a"`,
		steps("{run: '${ eas.job.secrets.x }'}"):                                                           "steps get no credentials",
		steps("{run: '${ eas.job.version.versionCode }'}"):                                                 "eas.job.version.versionCode is not supported",
		steps("{run: '${{ hashFiles(1) }}'}"):                                                              "the function hashFiles is not supported",
		steps("{run: '${{ 2 * 3 }}'}"):                                                                     "the operator * is not supported",
		steps("{run: '${{ github.sha }}'}"):                                                                "github.sha is not known",
		steps("{run: {command: a, if: '${ always( }'}}"):                                                   "if: the expression",
		steps("{run: {id: a, command: a}}\n    - run: {id: a, command: b}"):                                `two steps have the id "a"`,
		steps("{run: {id: a, command: a}}\n    - run: {command: b, inputs: {x: '${ steps.a.y }'}}"):        `does not declare the output "y"`,
		steps("{f: {inputs: {n: x}}}") + "functions: {f: {command: a, inputs: [{name: n, type: number}]}}": "must be of type number",
		steps("f") + "functions: {f: {command: a, inputs: [n]}}":                                           `the input "n" is required`,
		steps("{eas/configure_android_version: {inputs: {version_code: '3'}}}"):                            `has no input "version_code"`,
		steps("{f: {inputs: {m: x}}}") + "functions: {f: {command: a}}":                                    `f has no input "m"`,
		steps("f") + "functions: {f: {path: ./js}}":                                                        `"f" is a JavaScript module`,
		steps("f") + "functions: {f: {command: a, path: ./js}}":                                            "either a command or a path",
		steps("eas/upload_artifact"):                                                                       `the input "path" is required`,
		steps("{eas/prebuild: {inputs: {clean: maybe}}}"):                                                  "must be of type boolean",
		steps("a") + "import: [b.yml]":                                                                     "b.yml does not exist",
		steps("a") + "import: [../../../../b.yml]":                                                         "leads out of the app's directory",
		steps("a") + "import: [/etc/b.yml]":                                                                "leads out of the app's directory",
		"a: &a [x]\nb: [" + strings.Repeat("*a,", 3) + "*a]\n":                                             `a custom build cannot have "a"`,
	} {
		_, err := load(t, "main.yml", text)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, custom.ErrInvalid) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestUnsupportedFunctionsAreNamed(t *testing.T) {
	t.Parallel()
	b := mustLoad(t, "main.yml", `
build:
  steps:
    - eas/checkout
    - eas/maestro_test: {inputs: {flow_path: a.yml}}
    - eas/inject_android_credentials: {inputs: {credentials: '${ eas.job.secrets.buildCredentials }'}}
    - eas/run_fastlane
    - eas/unheard_of
    - eas/upload_artifact: {inputs: {type: build-artifact, path: a}}
`)
	warnings, err := b.Check(custom.Options{Platform: "android"})
	for _, want := range []string{"main.yml:5: eas/maestro_test is", "main.yml:6: eas/inject_android_credentials is", "withoutCredentials", "eas/run_fastlane", "eas/unheard_of"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if len(warnings) != 0 {
		t.Errorf("warnings: %q", warnings)
	}
	b = mustLoad(t, "main.yml", "build: {steps: [eas/configure_ios_credentials, eas/generate_gymfile_from_template, eas/run_fastlane]}")
	if _, err := b.Check(custom.Options{Platform: "ios"}); err == nil {
		t.Error("a signed build was accepted")
	}
	if _, err := b.Check(custom.Options{Platform: "ios", Unsigned: true}); err != nil {
		t.Error(err)
	}
}

// TestExpressionsAreBounded: a build cannot make the worker fill its memory.
func TestExpressionsAreBounded(t *testing.T) {
	t.Parallel()
	const big = "${{ replaceAll(env.A, 'a', env.A) }}"
	for name, text := range map[string]string{
		"replaceAll": "build: {steps: [{run: \"" + big + "\"}]}",
		"template":   "build: {steps: [{run: '" + strings.Repeat("${ eas.env.A }", 1000) + "'}]}",
		"plus":       "build: {steps: [{run: '${{ " + strings.Repeat("env.A + ", 300) + "1 }}'}]}",
	} {
		b, err := load(t, "main.yml", text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Steps[0].Render(custom.Context{Env: map[string]string{"A": strings.Repeat("a", 32<<10)}})
		if err == nil || !strings.Contains(err.Error(), "more than 8 MiB") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("build: {steps: [{run: {id: a, outputs: [v], command: a}}, {run: {if: \"${{ steps.a.outputs.v == 'x' && !failure() }}\", command: 'b ${ steps.a.v }'}}]}")
	f.Add("functions: {f: {inputs: [{name: n, type: json, default_value: {a: &x [1]}}], command: '${ inputs.n } ${{ toJSON(inputs.n[0]) }}'}}\nbuild: {steps: [f, eas/build]}")
	f.Add("import: [main.yml]\nbuild: {name: x, steps: [run: &a b, run: *a]}")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := load(t, "main.yml", text)
		if err != nil {
			if !errors.Is(err, custom.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		_, _ = b.Check(custom.Options{Platform: "android"})
		c := custom.Context{Env: map[string]string{"A": "b"}, Outputs: map[string]map[string]string{}}
		for _, s := range b.Steps {
			_, _ = s.ShouldRun(c)
			_, _ = s.Render(c)
			c.Outputs[s.ID] = map[string]string{"v": "x"}
		}
	})
}
