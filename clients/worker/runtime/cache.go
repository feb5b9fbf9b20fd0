package runtime

import (
	"context"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
)

// Cacher is a Workspace that keeps parts of a build for later ones. What goes wrong with a cache fails no build: the lines, which are for the
// build's log, say it.
type Cacher interface {
	// RestoreCaches brings back what tools and the profile keep.
	RestoreCaches(ctx context.Context, plan pipeline.Plan) (lines []string)
	// RestoreInstall brings back what an earlier install made. If it is false, the install must run, and KeepInstall keeps what it makes. An
	// error means that the workspace has parts of an install, and that this attempt cannot be trusted; it is the machine's.
	RestoreInstall(ctx context.Context, plan pipeline.Plan, command string) (restored bool, line string, err error)
	KeepInstall(ctx context.Context) (line string)
	// RestoreBundle brings back what the bundler knows of the source. It is called before each command after the install, since a command may
	// set variables that are part of its key. It does nothing if the key has not changed.
	RestoreBundle(ctx context.Context, plan pipeline.Plan) (line string)
	// KeepCaches keeps what tools and the profile have made, after stages that succeeded.
	KeepCaches(ctx context.Context, plan pipeline.Plan) (lines []string)
}
