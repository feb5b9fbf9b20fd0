package custom

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Dir is where custom builds are, below the directory of eas.json.
const Dir = ".eas/build"

// Bounds of what Load reads.
const (
	maxFile  = 1 << 20
	maxFiles = 50
	maxSteps = 200
)

// definition is a function that a file defines.
type definition struct {
	name, command, shell string
	inputs               []Input
	outputs              []Output
	// platforms are darwin and linux; none means both.
	platforms []string
	// script is the path of a function in JavaScript.
	script string
	at     string
}

// files reads a custom build and what it imports.
type files struct {
	tree      fs.FS
	app       string
	read      []string
	functions map[string]definition
}

// root returns the mapping of a file. name is relative to the app.
func (f *files) root(name string) (node, error) {
	full := path.Join(f.app, name)
	info, err := fs.Stat(f.tree, full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return node{}, problem{fmt.Sprintf("%s does not exist", name)}
	case err != nil:
		return node{}, problem{fmt.Sprintf("%s cannot be read: %v", name, err)}
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return node{}, problem{fmt.Sprintf("%s is not a file of at most %d KiB", name, maxFile>>10)}
	}
	data, err := fs.ReadFile(f.tree, full)
	if err != nil {
		return node{}, problem{fmt.Sprintf("%s cannot be read: %v", name, err)}
	}
	f.read = append(f.read, name)
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return node{}, problem{fmt.Sprintf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	// Node.Decode refuses aliases that would expand beyond bounds; walking the nodes would not.
	var whole any
	if err := doc.Decode(&whole); err != nil {
		return node{}, problem{fmt.Sprintf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return node{}, problem{name + " is empty"}
	}
	return node{file: name}.with(doc.Content[0]), nil
}

// imports reads the functions of all files that are imported, directly or not. A function that is there already stays.
func (f *files) imports(from string, list node) error {
	type job struct {
		from string
		list node
	}
	visited := map[string]bool{from: true}
	for jobs := []job{{from, list}}; len(jobs) > 0; jobs = jobs[1:] {
		items, err := jobs[0].list.items("import")
		if err != nil {
			return err
		}
		for _, item := range items {
			name, err := item.imported(jobs[0].from)
			if err != nil {
				return err
			}
			if visited[name] {
				continue
			}
			if visited[name] = true; len(visited) > maxFiles {
				return item.problem("more than %d files are imported", maxFiles)
			}
			more, err := f.addFunctions(name)
			if err != nil {
				return err
			}
			if more != nil {
				jobs = append(jobs, job{name, *more})
			}
		}
	}
	return nil
}

// imported returns the file that an item of the list import names, relative to the app.
func (n node) imported(from string) (string, error) {
	name, err := n.text("import")
	if err != nil {
		return "", err
	}
	if !isYAML(name) {
		return "", n.problem("import %q must end in .yml or .yaml", name)
	}
	resolved := path.Join(path.Dir(from), name)
	if path.IsAbs(name) || !fs.ValidPath(resolved) {
		return "", n.problem("import %q leads out of the app's directory, which is not supported", name)
	}
	return resolved, nil
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")
}

// addFunctions adds the functions of an imported file and returns what that file imports.
func (f *files) addFunctions(name string) (imports *node, err error) {
	root, err := f.root(name)
	if err != nil {
		return nil, err
	}
	all, err := root.entries("an imported file", "import", "functions")
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.key == "import" {
			imports = &e.value
		} else if err := f.define(e.value); err != nil {
			return nil, err
		}
	}
	return imports, nil
}

var functionName = regexp.MustCompile(`^[\w-]+$`)

func (f *files) define(functions node) error {
	all, err := functions.entries("functions")
	if err != nil {
		return err
	}
	for _, e := range all {
		if !functionName.MatchString(e.key) || e.key == "run" {
			return e.value.problem("a function cannot be named %q", e.key)
		}
		d, err := e.value.definition(fmt.Sprintf("function %q", e.key))
		if err != nil {
			return err
		}
		if d.name == "" {
			d.name = e.key
		}
		if _, has := f.functions[e.key]; !has {
			f.functions[e.key] = d
		}
	}
	return nil
}

func (n node) definition(what string) (d definition, err error) {
	all, err := n.entries(what, "name", "inputs", "outputs", "command", "path", "shell", "supported_platforms")
	if err != nil {
		return d, err
	}
	d.at = n.at()
	for _, e := range all {
		switch e.key {
		case "name":
			d.name, err = e.value.text("name")
		case "command":
			d.command, err = e.value.text("command")
		case "path":
			d.script, err = e.value.text("path")
		case "shell":
			d.shell, err = e.value.text("shell")
		case "inputs":
			d.inputs, err = e.value.definedInputs()
		case "outputs":
			d.outputs, err = e.value.outputs()
		case "supported_platforms":
			d.platforms, err = e.value.platforms()
		}
		if err != nil {
			return d, err
		}
	}
	if (d.command == "") == (d.script == "") {
		return d, n.problem("%s must have either a command or a path", what)
	}
	return d, nil
}

func (n node) platforms() (all []string, err error) {
	items, err := n.items("supported_platforms")
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if item.Value != Darwin && item.Value != Linux {
			return nil, item.problem("supported_platforms may have darwin and linux")
		}
		all = append(all, item.Value)
	}
	return all, nil
}

func (n node) outputs() (all []Output, err error) {
	items, err := n.items("outputs")
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		o := Output{Required: true}
		if item.Kind == yaml.MappingNode {
			o, err = item.output()
		} else {
			o.Name, err = item.text("the name of an output")
		}
		if err != nil {
			return nil, err
		}
		if !outputName.MatchString(o.Name) {
			return nil, item.problem("an output cannot be named %q: letters, digits, - and _", o.Name)
		}
		all = append(all, o)
	}
	return all, nil
}

// outputName is what set-output accepts.
var outputName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (n node) output() (o Output, err error) {
	o.Required = true
	all, err := n.entries("an output", "name", "required")
	for _, e := range all {
		if err != nil {
			break
		}
		if e.key == "name" {
			o.Name, err = e.value.text("the name of an output")
		} else {
			o.Required, err = e.value.boolean("required")
		}
	}
	return o, err
}
