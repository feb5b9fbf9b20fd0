package attempt

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// repack puts a new bundle into the result of an earlier build.
type repack struct {
	*attempt

	from *schedulerv1.RepackSource
}

// repackName is the file name of the app that a build is repacked from, as a plain name; empty for a native build. The result has the same.
func repackName(claim *schedulerv1.ClaimResponse) string {
	name := claim.GetRepack().GetResult().GetName()
	if name == "" {
		return ""
	}
	name = path.Base(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_. ", r) {
			return r
		}
		return '_'
	}, path.Base(name)))
	return strings.TrimLeft(name, "-. ")
}

// errRepackGone is for a build whose source has expired between its submit and its claim, which only an administrator can bring about.
func errRepackGone(from string) error {
	return profile.Problem(fmt.Sprintf("build %s, which this build was to be repacked from, is not stored any more: submit a native build, without --repack", from))
}

// check refuses sources whose native fingerprint is not that of the earlier build. It comes after the install and before anything is repacked.
func (r repack) check() error {
	switch own, want := r.made.GetFingerprint(), r.from.GetFingerprint(); {
	case own == "":
		return profile.Problem("the native fingerprint of the sources could not be computed, so they cannot be compared with build " +
			r.from.GetBuildId() + ": add the package expo or @expo/fingerprint, or build without --repack")
	case own != want:
		return profile.Problem(fmt.Sprintf("the native fingerprint of the sources (%.12s…) differs from that of build %s (%.12s…): native code, app config or "+
			"a package with native code has changed. Build without --repack", own, r.from.GetBuildId(), want))
	}
	return nil
}

// run fetches the earlier app and runs the stage.
func (r repack) run(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, s pipeline.Stage, env map[string]string) error {
	dir := filepath.Join(ws.Scratch(), "repack")
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return fmt.Errorf("make room for the app to repack: %w", err)
	}
	source := filepath.Join(dir, path.Base(plan.Result))
	if err := r.transfers.FetchRepackSource(ctx, r.from, source); err != nil {
		return err
	}
	s.Env = maps.Clone(s.Env)
	s.Env[pipeline.RepackSourceVariable], s.Env[pipeline.RepackWorkVariable] = source, work
	if err := r.runCommand(ctx, ws, plan, s, env); err != nil {
		return err
	}
	r.logLine(ctx, "info", fmt.Sprintf("repacked from build %s: its native part with the JavaScript and assets of this one, %s",
		r.from.GetBuildId(), build.RepackSigning(r.job.Platform).String()))
	return nil
}
