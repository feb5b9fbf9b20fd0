package submit

import (
	"fmt"
	"maps"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// addRequired adds labels, each KEY=VALUE, to those that the worker needs. Labels that are there take precedence.
func (o *options) addRequired(from string, list []string) error {
	labels, err := build.ParseLabels(list)
	if err != nil {
		return session.Usage("%s: %w", from, err)
	}
	maps.Copy(labels, o.Requires.Labels())
	if err := labels.Check(); err != nil {
		return session.Usage("%s: %w", from, err)
	}
	o.Requires = build.Require(labels)
	return nil
}

// addLabels adds the labels that a profile asks for: those of freeagent.json, which the worker needs, and those of eas.json, which it
// should have.
func (o *options) addLabels(p *profile.Profile) error {
	if err := o.addRequired(fmt.Sprintf("%s: requires of profile %q", profile.FileName, p.Name), p.Own.Requires); err != nil {
		return err
	}
	if p.EAS == nil {
		return nil
	}
	prefers := build.Labels{}
	for _, l := range []struct{ key, label, value string }{
		{"resourceClass", "resource-class", p.EAS.ResourceClass}, {"image", "image", p.EAS.Image},
	} {
		switch {
		case l.value == "":
		case build.ValidLabel(l.label, l.value):
			prefers[l.label] = l.value
		default:
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s: %s %q has no effect, since no worker can have it as a label", easjson.Name, l.key, l.value))
		}
	}
	o.Prefers = build.Require(prefers)
	return nil
}
