package custom

import (
	"fmt"
	"maps"
)

// The systems that steps run on, as EAS names them.
const (
	Darwin = "darwin"
	Linux  = "linux"
)

// Context is the state of a build when a step begins.
type Context struct {
	// Env are the variables that the step's command has, without those of its own env.
	Env map[string]string
	// Job are the values of eas.job.
	Job map[string]any
	// System is Darwin or Linux.
	System string
	// Outputs by id of a step.
	Outputs map[string]map[string]string
	// Failed is set when a step has failed.
	Failed bool
}

// Rendered is a step with all expressions evaluated.
type Rendered struct {
	Command string
	Inputs  map[string]any
}

// scope returns the values for a step.
func (c Context) scope(env map[string]string, inputs map[string]any) scope {
	steps, left := map[string]any{}, maxText
	for id, outputs := range c.Outputs {
		steps[id] = map[string]any{"outputs": outputs}
	}
	return scope{failed: c.Failed, left: &left, values: map[string]any{
		"inputs": inputs, "steps": steps, "env": env,
		"eas": map[string]any{"env": env, "job": c.Job, "runtimePlatform": c.System},
	}}
}

// ShouldRun evaluates the step's condition. Without one, it runs if no step has failed.
func (s Step) ShouldRun(c Context) (bool, error) {
	if s.If == "" {
		return !c.Failed, nil
	}
	env, inputs, err := s.evaluateInputs(c)
	if err != nil {
		return false, err
	}
	e, err := parseExpression(conditionOf(s.If))
	if err != nil {
		return false, s.problem("if: %v", err)
	}
	v, err := c.scope(env, inputs).evaluate(e)
	if err != nil {
		return false, s.problem("if: %v", err)
	}
	return truthy(v), nil
}

// Render evaluates the step's inputs and command.
func (s Step) Render(c Context) (Rendered, error) {
	env, inputs, err := s.evaluateInputs(c)
	if err != nil {
		return Rendered{}, err
	}
	command, err := c.scope(env, inputs).fill(s.Command)
	if err != nil {
		return Rendered{}, s.problem("command: %v", err)
	}
	return Rendered{Command: Text(command), Inputs: inputs}, nil
}

func (s Step) evaluateInputs(c Context) (env map[string]string, inputs map[string]any, err error) {
	env = map[string]string{}
	maps.Copy(env, c.Env)
	maps.Copy(env, s.Env)
	inputs = map[string]any{}
	values := c.scope(env, nil)
	for _, in := range s.Inputs {
		if !in.Set {
			continue
		}
		v, err := values.fillAll(in.Value)
		if err != nil {
			return nil, nil, s.problem("the input %q: %v", in.Name, err)
		}
		if v, err = in.convert(s, v); err != nil {
			return nil, nil, err
		}
		if err := in.checkAllowed(s, v); err != nil {
			return nil, nil, err
		}
		inputs[in.Name] = v
	}
	return env, inputs, nil
}

// CheckOutputs refuses a step that has not set an output which it must set.
func (s Step) CheckOutputs(set map[string]string) error {
	for _, o := range s.Outputs {
		if _, ok := set[o.Name]; o.Required && !ok {
			return s.problem("the output %q was not set: %s", o.Name, fmt.Sprintf("set-output %s VALUE", o.Name))
		}
	}
	return nil
}
