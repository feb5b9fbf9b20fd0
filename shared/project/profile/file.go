package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/bmatcuk/doublestar/v4"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// file is freeagent.json.
type file struct {
	// Version is 1 if it is missing. In version 2, Bash is the default shell, in version 1 BashIfPresent.
	Version *int `json:"version"`
	// Shell of the stages of all profiles.
	Shell string `json:"shell"`
	// Root is for the client: the directory that it sends, relative to the app.
	Root     string         `json:"root"`
	Profiles map[string]Own `json:"profiles"`
}

// Own is a profile of freeagent.json.
type Own struct {
	Extends string            `json:"extends"`
	Env     map[string]string `json:"env"`
	Result  string            `json:"result"`
	Stages  []Stage           `json:"stages"`
	// Artifacts are globs of files that are kept besides the result. nil leaves those of eas.json.
	Artifacts []string `json:"artifacts"`
	// Requires are the labels that the worker needs, each KEY=VALUE.
	Requires []string `json:"requires"`
	// Timeouts are requests: the farm has limits.
	Timeouts Timeouts `json:"timeouts"`
}

// Timeouts of a profile.
type Timeouts struct {
	// Build is the timeout of the build, Silence has heartbeat timeouts by stage; 0 and none if the profile sets none.
	Build   Duration            `json:"build"`
	Silence map[string]Duration `json:"silence"`
}

// Duration is written as "90s", "20m" or "1h30m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < time.Second || v%time.Second != 0 {
		return fmt.Errorf("timeout must be whole seconds, such as \"90s\" or \"20m\" (got %.40q)", text)
	}
	*d = Duration(v)
	return nil
}

// readFile refuses unknown keys: a typo would otherwise be a setting without effect.
func readFile(tree fs.FS, app string) (f file, found bool, err error) {
	data, err := read(tree, path.Join(app, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("%s: %w", FileName, err)
	}
	if err := jsonfile.Unmarshal(FileName, data, &f); err != nil {
		if at, ok := errors.AsType[*jsonfile.SyntaxError](err); ok {
			return f, true, problem{at.Summary()}
		}
		return f, true, problem{err.Error()}
	}
	dec := json.NewDecoder(bytes.NewReader(jsonfile.StripMark(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file{}); err != nil {
		return f, true, problem{unknownKey(data, err)}
	}
	if path.IsAbs(f.Root) || filepath.IsAbs(f.Root) || strings.Contains(f.Root, "\\") {
		return f, true, problem{fmt.Sprintf("%s: root %q is not a path relative to the app, such as \".\" or \"../..\"", FileName, f.Root)}
	}
	return f, true, nil
}

// keys are those of all objects of the file.
var keys = []string{ //nolint:gochecknoglobals // a table
	"version", "shell", "root", "profiles", "extends", "env", "result", "stages", "artifacts", "requires", "timeouts", "build", "silence", "name", "run",
}

// unknownKey says where an unknown key is, and which one was probably meant.
func unknownKey(data []byte, err error) string {
	text := strings.TrimPrefix(err.Error(), "json: ")
	_, quoted, found := strings.Cut(text, "unknown field ")
	if !found {
		return FileName + ": " + text
	}
	data = jsonfile.StripMark(data)
	if at := bytes.Index(data, []byte(quoted)); at >= 0 {
		name := strings.Trim(quoted, `"`)
		for _, key := range keys {
			if levenshtein.Distance(name, key, nil) <= 2 {
				text += fmt.Sprintf(" (did you mean %q?)", key)
				break
			}
		}
		return jsonfile.ErrorAt(FileName, data, at, text).Summary()
	}
	return FileName + ": " + text
}

// shell returns the shell of the file's stages.
func (f file) shell() (Shell, error) {
	version := 1
	if f.Version != nil {
		version = *f.Version
	}
	if version != 1 && version != 2 {
		return "", problem{fmt.Sprintf("%s: version %d is not known; use 1 or 2", FileName, version)}
	}
	switch s := Shell(f.Shell); {
	case s == Sh, s == Bash:
		return s, nil
	case s != "":
		return "", problem{fmt.Sprintf("%s: shell %.80q is not known; use %q or %q", FileName, f.Shell, Bash, Sh)}
	case version == 2:
		return Bash, nil
	}
	return BashIfPresent, nil
}

// choose resolves a profile that the file has.
func (f file) choose(name string) (Own, error) {
	p, err := f.resolve(name, nil)
	if err == nil {
		err = p.check(name)
	}
	return p, err
}

// maxDepth bounds profiles that extend each other.
const maxDepth = 5

// resolve merges a profile over those that it extends: env and timeouts by key, the rest as a whole.
func (f file) resolve(name string, seen []string) (Own, error) {
	if slices.Contains(seen, name) {
		return Own{}, problem{fmt.Sprintf("%s: profiles extend each other in a circle: %s", FileName, strings.Join(append(seen, name), " -> "))}
	}
	if len(seen) >= maxDepth {
		return Own{}, problem{fmt.Sprintf("%s: profile %q extends more than %d deep", FileName, seen[0], maxDepth)}
	}
	p, ok := f.Profiles[name]
	if !ok {
		return Own{}, problem{fmt.Sprintf("%s: profile %q extends %q, which does not exist", FileName, seen[len(seen)-1], name)}
	}
	if p.Extends == "" {
		return p, nil
	}
	base, err := f.resolve(p.Extends, append(seen, name))
	if err != nil {
		return Own{}, err
	}
	env := maps.Clone(base.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, p.Env)
	p.Env = env
	if len(p.Stages) == 0 {
		p.Stages = base.Stages
	}
	if len(p.Requires) == 0 {
		p.Requires = base.Requires
	}
	if p.Result == "" {
		p.Result = base.Result
	}
	if p.Artifacts == nil {
		p.Artifacts = base.Artifacts
	}
	if p.Timeouts.Build == 0 {
		p.Timeouts.Build = base.Timeouts.Build
	}
	silence := maps.Clone(base.Timeouts.Silence)
	if silence == nil {
		silence = map[string]Duration{}
	}
	maps.Copy(silence, p.Timeouts.Silence)
	p.Timeouts.Silence = silence
	return p, nil
}

// reserved are the names of the worker's own stages.
var reserved = []string{string(build.StagePrepare), string(build.StageUpload), "pack", "fetch-tools"} //nolint:gochecknoglobals // a constant

// IsReserved reports whether a stage's name is the worker's own.
func IsReserved(stage string) bool { return slices.Contains(reserved, stage) }

func (p Own) check(name string) error {
	where := fmt.Sprintf("%s: profile %q: ", FileName, name)
	seen := map[string]bool{}
	for i, s := range p.Stages {
		switch {
		case !build.ValidID(s.Name):
			return problem{fmt.Sprintf("%sstage %d: name %q (letters, digits, - and _, at most %d)", where, i+1, s.Name, build.MaxIDLength)}
		case IsReserved(s.Name):
			return problem{fmt.Sprintf("%sthe stage name %q is the worker's own", where, s.Name)}
		case seen[s.Name]:
			return problem{fmt.Sprintf("%stwo stages are named %q", where, s.Name)}
		case strings.TrimSpace(s.Run) == "":
			return problem{fmt.Sprintf("%sstage %q has nothing to run", where, s.Name)}
		}
		seen[s.Name] = true
	}
	switch {
	case len(p.Stages) > 0 && p.Result == "":
		return problem{where + `has stages and no "result": name the file or directory to deliver`}
	case len(p.Stages) == 0 && p.Result != "":
		return problem{where + `has a "result" and no stages: the built-in pipeline knows its own result`}
	}
	for stage := range p.Timeouts.Silence {
		if !build.ValidID(stage) {
			return problem{fmt.Sprintf("%stimeouts: %q is not a stage's name", where, stage)}
		}
	}
	if err := checkEnv(where, p.Env); err != nil {
		return err
	}
	return CheckResult(where+"result", p.Result)
}

func checkEnv(where string, env map[string]string) error {
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return problem{fmt.Sprintf("%senv: %q cannot be an environment variable", where, k)}
		}
		if strings.HasPrefix(k, "FREEAGENT_") {
			return problem{fmt.Sprintf("%senv: names that begin with FREEAGENT_ are the worker's own (%s)", where, k)}
		}
	}
	return nil
}

// CheckResult refuses what is not a path or pattern inside the project, as a result must be. what is named in the message.
func CheckResult(what, result string) error {
	if result == "" {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(result)) || strings.Contains(result, "\\") {
		return problem{fmt.Sprintf("%s %q is not a path inside the project", what, result)}
	}
	if strings.Count(result, "**") > 1 { // each one more multiplies the work of matching
		return problem{fmt.Sprintf("%s %q has more than one **", what, result)}
	}
	if !doublestar.ValidatePattern(result) {
		return problem{fmt.Sprintf("%s %q is not a pattern", what, result)}
	}
	return nil
}
