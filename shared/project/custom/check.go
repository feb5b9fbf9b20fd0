package custom

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check refuses what cannot be right whatever the build does: inputs of the wrong type, references to what does not exist.
func (b *Build) check() error {
	before := map[string]Step{}
	for _, s := range b.Steps {
		if _, twice := before[s.ID]; twice {
			return s.problem("two steps have the id %q", s.ID)
		}
		for _, in := range s.Inputs {
			if err := in.check(s); err != nil {
				return err
			}
		}
		c := checker{before: before, inputs: map[string]bool{}}
		for _, in := range s.Inputs {
			c.inputs[in.Name] = true
		}
		if err := c.step(s); err != nil {
			return err
		}
		before[s.ID] = s
	}
	return nil
}

// checker checks the expressions of a step.
type checker struct {
	// before are the steps before it.
	before map[string]Step
	inputs map[string]bool
	// declared demands that outputs are declared, as EAS does for the inputs of a step.
	declared bool
}

func (c checker) step(s Step) error {
	if fn, ok := functionOf(s.Function); ok && fn.Support != Runs {
		s.Inputs = nil // nothing uses them
	}
	if err := c.template(s.Command); err != nil {
		return s.problem("command: %v", err)
	}
	if s.If != "" {
		e, err := parseExpression(conditionOf(s.If))
		if err == nil {
			err = c.expression(e)
		}
		if err != nil {
			return s.problem("if: %v", err)
		}
	}
	noInputs := checker{before: c.before, declared: true}
	for _, in := range s.Inputs {
		if err := noInputs.value(in.Value); err != nil {
			return s.problem("the input %q: %v", in.Name, err)
		}
	}
	if strings.Contains(s.Dir, "${") {
		return s.problem("working_directory cannot have expressions")
	}
	return nil
}

func (c checker) value(v any) error {
	switch v := v.(type) {
	case string:
		return c.template(v)
	case []any:
		for _, item := range v {
			if err := c.value(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := c.value(v[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c checker) template(text string) error {
	parts, err := parseTemplate(text)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.expr == nil {
			continue
		}
		if err := c.expression(*p.expr); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) expression(e expr) error {
	switch e.kind {
	case root, member:
		if path, ok := literalPath(e); ok {
			return c.path(path)
		}
	case call:
		want, ok := functions[e.text]
		if !ok {
			return fmt.Errorf("the function %s is not supported", e.text)
		}
		if n := len(e.operands); n != want && (e.text != "substring" || n != want-1) {
			return fmt.Errorf("the function %s needs %d arguments (got %d)", e.text, want, n)
		}
	case literal, unary, binary, ternary:
	}
	for _, operand := range e.operands {
		if err := c.expression(operand); err != nil {
			return err
		}
	}
	return nil
}

// literalPath returns a path whose keys are all literal.
func literalPath(e expr) (path []string, ok bool) {
	for ; e.kind == member; e = e.operands[0] {
		if e.operands[1].kind != literal {
			return nil, false
		}
		path = append(path, Text(e.operands[1].value))
	}
	if e.kind != root {
		return nil, false
	}
	path = append(path, e.text)
	slices.Reverse(path)
	return path, true
}

// JobValues are the fields of eas.job that there are.
func JobValues() []string {
	return []string{
		"applicationArchivePath", "buildConfiguration", "buildProfile", "buildType", "developmentClient", "gradleCommand", "platform", "scheme",
		"simulator", "updates",
	}
}

func (c checker) path(path []string) error {
	written := strings.Join(path, ".")
	second := ""
	if len(path) > 1 {
		second = path[1]
	}
	switch path[0] {
	case "env":
		return nil
	case "inputs":
		if c.inputs == nil || !c.inputs[second] {
			return fmt.Errorf("there is no input %q", second)
		}
		return nil
	case "steps":
		s, ok := c.before[second]
		switch {
		case !ok:
			return fmt.Errorf("%s refers to the step %q, and no step before this one has that id", written, second)
		case len(path) != 4 || path[2] != "outputs":
			return fmt.Errorf("%s must be steps.ID.OUTPUT, or within ${{ }} steps.ID.outputs.OUTPUT", written)
		case s.Function == "" && c.declared && !slices.ContainsFunc(s.Outputs, func(o Output) bool { return o.Name == path[3] }):
			return fmt.Errorf("%s: the step %q does not declare the output %q", written, path[1], path[3])
		case s.Function != "":
			return fmt.Errorf("%s: %s sets no outputs on Free Agent", written, s.Function)
		}
		return nil
	case "eas":
		return easPath(path, written)
	}
	return fmt.Errorf("%s is not known", written)
}

func easPath(path []string, written string) error {
	switch {
	case len(path) == 3 && path[1] == "env", len(path) == 2 && path[1] == "runtimePlatform":
		return nil
	case len(path) >= 3 && path[1] == "job" && path[2] == "secrets":
		return fmt.Errorf("%s is not supported: steps get no credentials", written)
	case len(path) >= 3 && path[1] == "job" && slices.Contains(JobValues(), path[2]):
		return nil
	}
	return fmt.Errorf("%s is not supported. Of eas there are env, runtimePlatform, and of eas.job: %s", written, strings.Join(JobValues(), ", "))
}
