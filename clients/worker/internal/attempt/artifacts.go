package attempt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/artifacts"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// keepArtifacts uploads the files that the build keeps besides its result, if the outcome ends the build. The outcome stands, whatever
// becomes of them.
func (a *attempt) keepArtifacts(ctx context.Context, ws runtime.Workspace, outcome *schedulerv1.FinishRequest) {
	ends := outcome.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_COMPLETED || outcome.GetOutcome() == schedulerv1.FinishRequest_OUTCOME_FAILED
	globs, paths := a.plan.Artifacts, slices.Compact(slices.Sorted(slices.Values(a.artifacts)))
	if !ends || ctx.Err() != nil || len(globs)+len(paths) == 0 {
		return
	}
	a.stage = string(build.StageUpload) // of the log: the build's own stage stays the one that it ended in
	a.logLine(ctx, "info", "▸ build artifacts: "+strings.Join(slices.Concat(globs, paths), ", "))
	kept, err := a.uploadArtifacts(ctx, ws, a.plan, globs, paths)
	if err != nil {
		reason := "Build artifacts were not kept: " + a.mask.Text(err.Error())
		a.logLine(ctx, "warn", reason)
		kept = &schedulerv1.BuildArtifacts{Problem: reason}
	}
	outcome.Artifacts = kept
}

// uploadArtifacts returns nil if there is nothing to keep.
func (a *attempt) uploadArtifacts(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan, globs, paths []string) (*schedulerv1.BuildArtifacts, error) {
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return nil, fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	found, err := artifacts.Find(ctx, root, globs, paths, a.runner.ArtifactLimits)
	if err != nil {
		return nil, err
	}
	for _, warning := range found.Warnings {
		a.logLine(ctx, "warn", warning)
	}
	if len(found.Names) == 0 {
		return nil, nil //nolint:nilnil // the warnings say why
	}
	packed, err := artifacts.Pack(ctx, plan.Root, filepath.Join(ws.Scratch(), artifacts.FileName), found.Names)
	if err != nil {
		return nil, err
	}
	ref, err := a.transfers.UploadArtifacts(ctx, packed, artifacts.FileName)
	if err != nil {
		return nil, err
	}
	a.logLine(ctx, "info", fmt.Sprintf("build artifacts: %d files, %s, packed %s, SHA-256 %s",
		len(found.Names), text.Size(found.Bytes), text.Size(ref.GetSize()), ref.GetSha256()))
	return &schedulerv1.BuildArtifacts{Object: ref, Files: int32(min(len(found.Names), 1<<30))}, nil //nolint:gosec // bounded
}
