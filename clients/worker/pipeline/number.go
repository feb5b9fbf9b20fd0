package pipeline

import (
	"fmt"
	"os"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/appversion"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
	"github.com/expo-free-agent/freeagent/shared/project/custom"
)

// setNumber returns the stage that puts the build number into the native project, or none if the app keeps its own. It is the last one
// before the native build.
func (n native) setNumber(platform build.Platform) []Stage {
	if n.number == "" {
		return nil
	}
	run := fmt.Sprintf("set the %s %s", appjson.NumberKey(platform), n.number)
	return []Stage{{Name: "build-number", Run: run, Edit: func(app *os.Root) (string, error) {
		report, err := appversion.Set(app, platform, n.number)
		lines := report.Changes
		for _, warning := range report.Warnings {
			lines = append(lines, "warning: "+warning)
		}
		return strings.Join(lines, "\n"), err
	}}}
}

// setNumber adds the step of a call of the functions that configure the version.
func (b *customBuilder) setNumber(s custom.Step) {
	for _, stage := range b.native().setNumber(b.req.Platform) {
		stage.Name = b.unique(stage.Name)
		b.step(Step{Step: s, Stage: stage})
	}
}
