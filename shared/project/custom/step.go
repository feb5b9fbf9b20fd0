package custom

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Build is a custom build.
type Build struct {
	Name  string
	Steps []Step
	// Files are those that were read, relative to the app.
	Files []string
}

// Step is a step of a build: a command, or a function of EAS.
type Step struct {
	ID, Name string
	// Function is that of EAS, such as "eas/prebuild"; empty for a command.
	Function string
	Command  string
	// Shell is a program with arguments, which gets the path of a script; empty for the default, bash.
	Shell string
	// Dir is the working directory, relative to the app; an absolute one is relative to the source's root.
	Dir string
	// If is a condition; empty: the step runs if all before it succeeded.
	If string
	// Env has variables for the command. As on EAS, they have no expressions.
	Env     map[string]string
	Inputs  []Input
	Outputs []Output
	// Timeout is 0 if there is none.
	Timeout time.Duration
	// Platforms are the systems that the step can run on, darwin and linux; none means both.
	Platforms []string

	// at is the place in the file. call is the name of the function as it is called.
	at, call string
}

func (s Step) problem(format string, args ...any) error {
	return problem{fmt.Sprintf("%s: step %q: %s", s.at, s.Name, fmt.Sprintf(format, args...))}
}

// Load reads a custom build of the app in the directory app of tree, a slash path. config is the name of the file below Dir. tree should be
// that of an os.Root: links out of it are not followed. What is wrong with the files is ErrInvalid.
func Load(tree fs.FS, app, config string) (*Build, error) {
	name := path.Join(Dir, config)
	if !isYAML(config) || !fs.ValidPath(name) || !strings.HasPrefix(name, Dir+"/") {
		return nil, problem{fmt.Sprintf("config %q must name a .yml or .yaml file in %s", config, Dir)}
	}
	f := &files{tree: tree, app: app, functions: map[string]definition{}}
	root, err := f.root(name)
	if err != nil {
		return nil, err
	}
	all, err := root.entries("a custom build", "build", "functions", "import")
	if err != nil {
		return nil, err
	}
	byKey := map[string]node{}
	for _, e := range all {
		byKey[e.key] = e.value
	}
	if functions, ok := byKey["functions"]; ok { // before imports, which do not replace them
		if err := f.define(functions); err != nil {
			return nil, err
		}
	}
	if list, ok := byKey["import"]; ok {
		if err := f.imports(name, list); err != nil {
			return nil, err
		}
	}
	body, ok := byKey["build"]
	if !ok {
		return nil, root.problem("a custom build needs the key build")
	}
	b, err := f.build(body)
	if err != nil {
		return nil, err
	}
	b.Files = f.read
	if err := b.check(); err != nil {
		return nil, err
	}
	return b, nil
}

func (f *files) build(body node) (*Build, error) {
	b := &Build{}
	all, err := body.entries("build", "name", "steps")
	if err != nil {
		return nil, err
	}
	var steps []node
	for _, e := range all {
		if e.key == "name" {
			b.Name, err = e.value.text("name")
		} else {
			steps, err = e.value.items("steps")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(steps) == 0 || len(steps) > maxSteps {
		return nil, body.problem("build must have 1 to %d steps", maxSteps)
	}
	unnamed := 0
	for _, n := range steps {
		s, err := f.step(n)
		if err != nil {
			return nil, err
		}
		if s.ID == "" {
			unnamed++
			s.ID = fmt.Sprintf("step-%03d", unnamed)
		}
		b.Steps = append(b.Steps, s)
	}
	return b, nil
}

// step reads "name", {run: "command"}, {run: {…}} and {name: {…}}.
func (f *files) step(n node) (Step, error) {
	if n.Kind == yaml.ScalarNode {
		name, err := n.text("a step")
		if err != nil {
			return Step{}, err
		}
		return f.call(n, name, Step{at: n.at()})
	}
	all, err := n.entries("a step")
	if err != nil {
		return Step{}, err
	}
	if len(all) != 1 {
		return Step{}, n.problem("a step must have one key: run, or the name of a function")
	}
	e := all[0]
	if e.key == "run" && e.value.Kind == yaml.ScalarNode {
		command, err := e.value.text("run")
		return Step{at: n.at(), call: "run", Command: command, Name: firstLine(command)}, err
	}
	s := Step{at: n.at()}
	if err := s.read(e.value, e.key == "run"); err != nil {
		return Step{}, err
	}
	if e.key != "run" {
		return f.call(n, e.key, s)
	}
	s.call = "run"
	if s.Command == "" {
		return Step{}, n.problem("run must have a command")
	}
	for i := range s.Inputs {
		s.Inputs[i].Type, s.Inputs[i].required = typeOf(s.Inputs[i].Value), true
	}
	if s.Name == "" {
		s.Name = s.ID
	}
	if s.Name == "" {
		s.Name = firstLine(s.Command)
	}
	return s, nil
}

func firstLine(command string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(command), "\n")
	return strings.TrimSpace(line)
}

// read reads what a call, or run in its long form, may have.
func (s *Step) read(n node, isRun bool) error {
	known := []string{"id", "inputs", "name", "working_directory", "shell", "env", "if", "timeout_minutes", "__metrics_id"}
	if isRun {
		known = append(known, "command", "outputs")
	}
	all, err := n.entries("a step", known...)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := s.set(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Step) set(e entry) (err error) {
	for key, text := range map[string]*string{
		"id": &s.ID, "name": &s.Name, "working_directory": &s.Dir, "shell": &s.Shell, "if": &s.If, "command": &s.Command,
	} {
		if key == e.key {
			*text, err = e.value.text(key)
			return err
		}
	}
	switch e.key {
	case "outputs":
		s.Outputs, err = e.value.outputs()
	case "env":
		s.Env, err = e.value.env()
	case "timeout_minutes":
		v, err := e.value.value(e.key)
		minutes, ok := v.(float64)
		if err != nil || !ok || minutes <= 0 || minutes > 24*60 {
			return e.value.problem("timeout_minutes must be a number above 0")
		}
		s.Timeout = time.Duration(minutes * float64(time.Minute))
	case "inputs":
		all, err := e.value.entries("inputs")
		if err != nil {
			return err
		}
		for _, in := range all {
			v, err := in.value.value(fmt.Sprintf("the input %q", in.key))
			if err != nil {
				return err
			}
			s.Inputs = append(s.Inputs, Input{Name: in.key, Value: v, Set: true})
		}
	}
	return err
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (n node) env() (map[string]string, error) {
	all, err := n.entries("env")
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, e := range all {
		v, err := e.value.value("env")
		if err != nil {
			return nil, err
		}
		if t := typeOf(v); t != typeString && t != typeNumber {
			return nil, e.value.problem("the value of the variable %s must be text or a number", e.key)
		}
		if !variableName.MatchString(e.key) || strings.HasPrefix(e.key, "FREEAGENT_") {
			return nil, e.value.problem("%q cannot be the name of a variable here", e.key)
		}
		env[e.key] = Text(v)
	}
	return env, nil
}

// call completes a step with what the function says that it calls.
func (f *files) call(n node, name string, s Step) (Step, error) {
	s.call = name
	d, own := f.functions[name]
	if !own {
		return s.builtIn(n, name)
	}
	if d.script != "" {
		return s, n.problem("the function %q is a JavaScript module (path), which is not supported. Write it with command", name)
	}
	if s.Name == "" {
		s.Name = d.name
	}
	if s.Shell == "" {
		s.Shell = d.shell
	}
	s.Command, s.Outputs, s.Platforms = d.command, d.outputs, d.platforms
	err := s.merge(d.inputs)
	return s, err
}

// merge lays the inputs of a call over those that its function defines.
func (s *Step) merge(defined []Input) error {
	given := map[string]Input{}
	for _, in := range s.Inputs {
		given[in.Name] = in
	}
	merged := slices.Clone(defined)
	for i, in := range merged {
		if g, ok := given[in.Name]; ok {
			merged[i].Value, merged[i].Set = g.Value, true
			delete(given, in.Name)
		}
	}
	if names := slices.Sorted(maps.Keys(given)); len(names) > 0 {
		return s.problem("%s has no input %q", s.call, names[0])
	}
	s.Inputs = merged
	return nil
}
