package pipeline

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	goruntime "runtime"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/custom"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// Custom is a custom build. Its steps take the place of stages.
type Custom struct {
	Name  string
	Steps []Step
	// Job has the values of eas.job for expressions.
	Job map[string]any
}

// Step is a step of a custom build.
type Step struct {
	custom.Step
	// Stage under which it runs. Of returns it with its command.
	Stage Stage
	// Upload is set for a step that delivers files instead of running a command.
	Upload *Upload

	run  func(custom.Rendered) string
	edit func(custom.Rendered) Stage
}

// Upload says what a step delivers.
type Upload struct {
	// Pattern is a slash path or glob below Base; empty: the step's input "path" has them.
	Pattern string
	// Base is a slash path below the root of the source.
	Base string
}

// Of returns the stage that runs the step.
func (s Step) Of(r custom.Rendered) Stage {
	stage := s.Stage
	if s.edit != nil {
		edit := s.edit(r)
		stage.Run, stage.Edit = edit.Run, edit.Edit
	}
	stage.Env = s.Env
	if s.run != nil {
		stage.Run = s.run(r)
	}
	return stage
}

// Title is what the log says of a step when it begins: its name and, if it is not the same, its command.
func (s Step) Title(r custom.Rendered) string {
	command := strings.TrimSpace(s.Stage.Run)
	if s.Function == "" && s.run != nil {
		command = strings.TrimSpace(r.Command)
	}
	if command == "" || command == s.Name || s.Function == custom.UseNPMToken {
		return s.Name
	}
	return s.Name + "\n" + command
}

// customBuilder makes the steps of a custom build.
type customBuilder struct {
	*project

	plan    *Plan
	req     Request
	of      profile.Profile
	install workspace.Install
	names   map[string]bool
}

// custom returns the plan of a custom build.
func (p *project) custom(plan Plan, req Request, of profile.Profile) (Plan, error) {
	plan.Shell = Bash
	in, err := workspace.InstallOf(p.tree, p.app)
	if err != nil {
		return Plan{}, profile.Problem(err.Error())
	}
	plan.Warnings = append(plan.Warnings, in.Warnings...)
	plan.Install = &in
	var warnings []string
	plan.Needs, warnings = p.needs(in, of.EAS)
	plan.Warnings = append(plan.Warnings, warnings...)
	plan.Custom = &Custom{Name: of.Custom.Name, Job: jobValues(req, of)}
	b := customBuilder{project: p, plan: &plan, req: req, of: of, install: in, names: map[string]bool{}}
	for _, s := range of.Custom.Steps {
		if err := b.add(s); err != nil {
			return Plan{}, err
		}
	}
	return plan, nil
}

// jobValues are those that custom.JobValues names.
func jobValues(req Request, of profile.Profile) map[string]any {
	job := map[string]any{"platform": string(req.Platform), "buildProfile": of.Name}
	for name, value := range map[string]string{
		"applicationArchivePath": of.EAS.Archive(), "buildConfiguration": of.EAS.BuildConfiguration, "buildType": of.EAS.BuildType,
		"gradleCommand": of.EAS.GradleCommand, "scheme": of.EAS.Scheme,
	} {
		if value != "" {
			job[name] = value
		}
	}
	for name, value := range map[string]*bool{"developmentClient": of.EAS.DevelopmentClient, "simulator": of.EAS.Simulator} {
		if value != nil {
			job[name] = *value
		}
	}
	if of.EAS.Channel != "" {
		job["updates"] = map[string]any{"channel": of.EAS.Channel}
	}
	return job
}

func (b *customBuilder) add(s custom.Step) error {
	if len(s.Platforms) > 0 && !slices.Contains(s.Platforms, goruntime.GOOS) {
		return profile.Problem(fmt.Sprintf("custom build: step %q can run on %s only, and this worker runs %s",
			s.Name, strings.Join(s.Platforms, " and "), goruntime.GOOS))
	}
	dir, err := b.dirOf(s)
	if err != nil {
		return err
	}
	switch s.Function {
	case "":
		shell, run := scriptOf(s)
		b.step(Step{Step: s, run: run, Stage: Stage{Name: b.name(cmp.Or(s.ID, "step"), s), Dir: dir, Shell: shell}})
	case custom.BuildAll:
		return b.all(s)
	case custom.InstallModules:
		b.step(Step{Step: s, Stage: Stage{Name: b.unique(string(build.StageInstall)), Run: b.install.Command(b.tree), Dir: b.install.Dir}})
	case custom.UseNPMToken:
		b.step(Step{Step: s, Stage: Stage{Name: b.unique("npm-token"), Run: npmToken, Dir: b.install.Dir}})
	case custom.InstallPods:
		b.step(Step{Step: s, Stage: Stage{Name: b.unique(string(build.StagePods)), Run: "pod install", Dir: dir}})
	case custom.Prebuild:
		b.prebuild(s)
	case custom.ConfigureUpdates:
		b.updates(s)
	case custom.RunGradle, custom.RunFastlane:
		b.compile(s)
	case custom.AndroidVersion, custom.IOSVersion:
		b.setNumber(s)
	case custom.FindArtifacts:
		n, scratch := b.native(), Plan{}
		pattern := ""
		if b.req.Platform == build.Android {
			pattern = n.android(&scratch)
		} else {
			pattern = n.ios(&scratch)
		}
		b.upload(s, "find-artifacts", Upload{Pattern: pattern, Base: dir})
	case custom.UploadArtifact:
		b.upload(s, "upload-artifact", Upload{Base: "."})
	default: // nothing to do
	}
	return nil
}

func (b *customBuilder) step(s Step) { b.plan.Custom.Steps = append(b.plan.Custom.Steps, s) }

func (b *customBuilder) upload(s custom.Step, name string, u Upload) {
	b.step(Step{Step: s, Stage: Stage{Name: b.unique(name)}, Upload: &u})
}

// native makes native stages without hooks, which custom builds do not run.
func (b *customBuilder) native() native {
	plain := *b.project
	plain.pkg.Scripts = nil
	return native{project: &plain, manager: b.install.Manager, eas: b.of.EAS, number: b.req.BuildNumber}
}

// all adds the stages of a build that is not custom, and the delivery of its result.
func (b *customBuilder) all(s custom.Step) error {
	plan, err := b.native().builtIn(Plan{}, b.req, b.of)
	if err != nil {
		return err
	}
	for _, stage := range plan.Stages {
		stage.Name = b.unique(stage.Name)
		stage.Shell = plan.Shell
		b.step(Step{Step: custom.Step{Name: s.Name + ": " + stage.Name}, Stage: stage})
	}
	b.upload(custom.Step{ID: s.ID, Name: s.Name}, "find-artifacts", Upload{Pattern: plan.Result, Base: b.app})
	return nil
}

func (b *customBuilder) prebuild(s custom.Step) {
	for _, stage := range b.native().prebuild(b.req.Platform) {
		stage.Name = b.unique(stage.Name)
		run := stage.Run
		b.step(Step{Step: s, Stage: stage, run: func(r custom.Rendered) string {
			if r.Inputs["clean"] == true {
				return run + " --clean"
			}
			return run
		}})
	}
}

func (b *customBuilder) updates(s custom.Step) {
	b.step(Step{Step: s, Stage: Stage{Name: b.unique(stageUpdates)}, edit: func(r custom.Rendered) Stage {
		channel := cmp.Or(custom.Text(r.Inputs["channel"]), b.of.EAS.Channel)
		if channel == "" {
			return Stage{Run: "there is no channel to set", Edit: func(*os.Root) (string, error) { return "", nil }}
		}
		return channelStage(b.req.Platform, channel, r.Inputs["throw_if_not_configured"] != false)
	}})
}

// compile adds the stage that makes the app out of the native project.
func (b *customBuilder) compile(s custom.Step) {
	n, scratch := b.native(), Plan{}
	if b.req.Platform == build.IOS {
		n.ios(&scratch)
		stage := scratch.Stages[len(scratch.Stages)-1]
		stage.Name, stage.Shell = b.unique(stage.Name), BashIfPresent
		b.step(Step{Step: s, Stage: stage})
		return
	}
	b.step(Step{Step: s, Stage: Stage{Name: b.unique(string(build.StageCompile))}, run: func(r custom.Rendered) string {
		return gradle(cmp.Or(custom.Text(r.Inputs["command"]), n.gradleCommand()))
	}})
}

// dirOf returns the step's working directory as a slash path below the root of the source.
func (b *customBuilder) dirOf(s custom.Step) (string, error) {
	dir := path.Join(b.app, s.Dir)
	if path.IsAbs(s.Dir) { // EAS takes it from the root of the source
		dir = path.Join(".", strings.TrimLeft(s.Dir, "/"))
	}
	if !fs.ValidPath(dir) {
		return "", profile.Problem(fmt.Sprintf("custom build: step %q: working_directory %q leads out of the source", s.Name, s.Dir))
	}
	return dir, nil
}

// name returns the name of the stage of a command: the step's id, if the file gives one, else its name.
func (b *customBuilder) name(id string, s custom.Step) string {
	if strings.HasPrefix(id, "step-") {
		id = s.Name
	}
	const longest = 40
	id = notInNames.ReplaceAllString(id, "-")
	id = strings.Trim(id[:min(len(id), longest)], "-_")
	if !build.ValidID(id) || profile.IsReserved(id) {
		id = strings.TrimSuffix("step-"+id, "-")
	}
	return b.unique(id)
}

// notInNames is what the names of stages cannot have.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// unique returns the name, with a number if another stage has it.
func (b *customBuilder) unique(name string) string {
	free := name
	for n := 2; b.names[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	b.names[free] = true
	return free
}

// npmToken writes the file that EAS writes. It refers to the variable: the token stays out of the source.
const npmToken = `if [ -z "${NPM_TOKEN:-}" ]; then
	echo "NPM_TOKEN is not set: nothing to do"
elif [ -e .npmrc ]; then
	echo "the source has an .npmrc, which is used as it is"
else
	echo '//registry.npmjs.org/:_authToken=${NPM_TOKEN}' >.npmrc
fi`

// scriptOf returns how a step's command runs. A shell other than the default gets the path of a file with the command, as EAS does it.
func scriptOf(s custom.Step) (Shell, func(custom.Rendered) string) {
	words := strings.Fields(s.Shell)
	if len(words) == 0 || slices.Equal(words, []string{"/bin/bash", "-eo", "pipefail"}) || slices.Equal(words, []string{"bash", "-eo", "pipefail"}) {
		return Bash, func(r custom.Rendered) string { return r.Command }
	}
	for i, w := range words {
		words[i] = quote(w)
	}
	return Sh, func(r custom.Rendered) string {
		end := "END_OF_STEP"
		for strings.Contains(r.Command, end) {
			end += "_"
		}
		return fmt.Sprintf("script=$(mktemp)\ncat >\"$script\" <<'%[1]s'\n%[2]s\n%[1]s\n%[3]s \"$script\"", end, r.Command, strings.Join(words, " "))
	}
}

// Secrets returns the variables of each step. Some may be secret.
func (c *Custom) Secrets() (all []map[string]string) {
	if c == nil {
		return nil
	}
	for _, s := range c.Steps {
		all = append(all, s.Env)
	}
	return all
}
