package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/custom"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// FileName is the project's own description of its builds.
const FileName = "freeagent.json"

// DefaultProfile is meant when none is named.
const DefaultProfile = easjson.Default

// Stage is a command with a name.
type Stage struct {
	Name string `json:"name"`
	// Run is a line (or several) for the shell.
	Run string `json:"run"`
	// Dir is where it runs, as a slash path below the root of the source; empty: in the app.
	Dir string `json:"-"`
	// Shell runs it; empty: that of the profile.
	Shell Shell `json:"-"`
	// Edit is set for a stage that changes files of the app instead of running a command. Run says what it does. It returns lines for the
	// log; those of warnings begin with "warning:".
	Edit func(app *os.Root) (lines string, err error) `json:"-"`
	// Env has variables of this stage alone. They come before those that the build has set.
	Env map[string]string `json:"-"`
}

// Shell is the interpreter of stages and its options.
type Shell string

// The shells. With Sh, a pipeline fails only if its last command does; with Bash, if any command of it does.
const (
	Sh   Shell = "/bin/sh -e"
	Bash Shell = "bash -eo pipefail"
	// BashIfPresent is Bash, or Sh on a machine without bash. It is the default.
	BashIfPresent Shell = "bash -eo pipefail, if present"
)

// Profile is a resolved build profile.
type Profile struct {
	// Name is empty if no profile was asked for and neither file has the default one.
	Name string
	// EAS is what eas.json says for the platform; nil without an eas.json, or if only freeagent.json has the profile.
	EAS *easjson.Profile
	// Cli is the block cli of eas.json; nil without one.
	Cli *easjson.Cli
	// Own is what freeagent.json says; zero if it does not have the profile.
	Own Own
	// Shell of the stages of freeagent.json.
	Shell Shell
	// Custom is the build that the key config of eas.json names; nil before LoadCustom, without one, or if freeagent.json has stages.
	Custom *custom.Build
	// Env has the variables of eas.json, and those of freeagent.json over them.
	Env map[string]string
	// Artifacts are globs of files that are kept besides the result: slash paths below the root of the source.
	Artifacts []string
	// Warnings for people.
	Warnings []string
}

// Resolve returns the profile of the app in the directory app of tree, a slash path. tree should be that of an os.Root: links out of it are
// not followed. An empty name means DefaultProfile. Faulty files and unknown profiles are ErrProject.
func Resolve(tree fs.FS, app, platform, name string) (Profile, error) {
	own, hasOwn, err := readFile(tree, app)
	if err != nil {
		return Profile{}, err
	}
	eas, err := readEAS(tree, app)
	if err != nil {
		return Profile{}, err
	}
	p := Profile{}
	if p.Shell, err = own.shell(); err != nil {
		return Profile{}, err
	}
	asked := name
	if name == "" {
		name = DefaultProfile
	}
	inEAS, inOwn := eas != nil && slices.Contains(eas.Names(), name), false
	if _, ok := own.Profiles[name]; ok {
		inOwn = true
	}
	if !inEAS && !inOwn {
		if asked == "" && eas == nil || asked == DefaultProfile && eas == nil {
			return p, nil
		}
		return Profile{}, unknown(asked, own, hasOwn, eas)
	}
	p.Name = name
	if eas != nil {
		p.Cli = eas.Cli
	}
	if inEAS {
		if err := p.fromEAS(eas, platform, name); err != nil {
			return Profile{}, err
		}
	}
	if inOwn {
		if p.Own, err = own.choose(name); err != nil {
			return Profile{}, err
		}
	}
	p.Env = merged(p.Env, p.Own.Env)
	err = p.findArtifacts(app)
	return p, err
}

// LoadCustom reads the custom build that the profile names, if any, and refuses what is not supported with ErrProject. Its arguments are those
// of Resolve.
func (p *Profile) LoadCustom(tree fs.FS, app, platform string) error {
	if p.EAS == nil || p.EAS.Config == "" || len(p.Own.Stages) > 0 {
		return nil
	}
	isSet := func(b *bool) bool { return b != nil && *b }
	b, err := custom.Load(tree, app, p.EAS.Config)
	if err == nil {
		var warnings []string
		warnings, err = b.Check(custom.Options{
			Platform: platform, Unsigned: isSet(p.EAS.WithoutCredentials), Simulator: platform == easjson.IOS && isSet(p.EAS.Simulator),
		})
		p.Warnings = append(p.Warnings, warnings...)
	}
	if err != nil {
		return problem{fmt.Sprintf("profile %q has a custom build that cannot run.\n%v", p.Name, err)}
	}
	p.Custom = b
	return nil
}

func (p *Profile) fromEAS(eas *easjson.File, platform, name string) error {
	resolved, warnings, err := eas.BuildProfile(platform, name)
	if err != nil {
		return problem{err.Error()}
	}
	p.EAS, p.Env = &resolved, resolved.Env
	for _, w := range warnings {
		p.Warnings = append(p.Warnings, w.String())
	}
	return checkEnv(fmt.Sprintf("%s: profile %q: ", easjson.Name, name), resolved.Env)
}

// MakesDevelopmentClient reports whether a build of the profile makes a development client, whose native app alone is the result: JavaScript is
// loaded when it runs. Commands of the project's own, custom builds and other build types may put anything into the result.
func (p Profile) MakesDevelopmentClient(platform build.Platform) bool {
	if p.EAS == nil || p.EAS.DevelopmentClient == nil || !*p.EAS.DevelopmentClient || len(p.Own.Stages) > 0 || p.EAS.Config != "" {
		return false
	}
	if platform == build.Android {
		return p.EAS.GradleCommand == ""
	}
	return p.EAS.BuildConfiguration == ""
}

// Environment returns the environment whose variables of the farm a build gets, and whether eas.json names it. A profile that only
// freeagent.json has, and a build without a profile, get production.
func (p Profile) Environment() (name string, named bool) {
	if p.EAS == nil {
		return easjson.EnvironmentProduction, false
	}
	return p.EAS.BuildEnvironment(), p.EAS.Environment != ""
}

func merged(base, over map[string]string) map[string]string {
	if len(base) == 0 {
		return over
	}
	env := maps.Clone(base)
	maps.Copy(env, over)
	return env
}

// readEAS returns nil if there is no eas.json.
func readEAS(tree fs.FS, app string) (*easjson.File, error) {
	data, err := read(tree, path.Join(app, easjson.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is a normal answer
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", easjson.Name, err)
	}
	f, err := easjson.Parse(data)
	if err != nil {
		return nil, problem{err.Error()}
	}
	return f, nil
}

// unknown says which profiles there are, and which one is nearly the name.
func unknown(asked string, own file, hasOwn bool, eas *easjson.File) error {
	var names, files []string
	if eas != nil {
		names, files = eas.Names(), append(files, easjson.Name)
	}
	if hasOwn {
		for _, name := range slices.Sorted(maps.Keys(own.Profiles)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		files = append(files, FileName)
	}
	if len(files) == 0 {
		return unknownProfile{fmt.Sprintf("no profile %q: the app has neither %s nor %s", asked, easjson.Name, FileName)}
	}
	where, there := strings.Join(files, " or "), "There are none."
	if len(names) > 0 {
		there = "There are: " + strings.Join(names, ", ") + "."
	}
	if asked == "" {
		return unknownProfile{fmt.Sprintf("no profile %q in %s, and none was named. %s", DefaultProfile, where, there)}
	}
	guess := ""
	if near := nearest(asked, names); near != "" {
		guess = fmt.Sprintf(" Did you mean %q?", near)
	}
	return unknownProfile{fmt.Sprintf("no profile %q in %s.%s %s", asked, where, guess, there)}
}

// nearest returns the name that a typo may stand for, or "".
func nearest(asked string, names []string) (near string) {
	const typos = 3
	best := typos
	for _, name := range names {
		if d := levenshtein.Distance(strings.ToLower(asked), strings.ToLower(name), nil); d < best && d < len(name) {
			near, best = name, d
		}
	}
	return near
}

// maxFile bounds a file that is read, in bytes.
const maxFile = 4 << 20

func read(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, problem{fmt.Sprintf("%s is not a file of at most %d MiB", name, maxFile>>20)}
	}
	return fs.ReadFile(tree, name)
}
