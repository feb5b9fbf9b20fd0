package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// ErrRepackSource means that the result to repack is not stored any more.
var ErrRepackSource = errors.New("the app to repack is missing or damaged in the farm's store; submit a native build, without --repack")

// FetchRepackSource downloads the result that the build is repacked from into a new file, and checks its SHA-256, which the scheduler recorded.
func (t *Transfers) FetchRepackSource(ctx context.Context, from *schedulerv1.RepackSource, name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("download the app to repack: %w", err)
	}
	defer f.Close()
	size, err := t.fetch(ctx, f, "download the app to repack", artifactv1.Kind_KIND_REPACK_SOURCE, from.GetResult())
	if isMissing(err) {
		return fmt.Errorf("%w (build %s: %w)", ErrRepackSource, from.GetBuildId(), err)
	}
	if err != nil {
		return err
	}
	t.Log(ctx, "info", fmt.Sprintf("app to repack: %s of build %s, %s, SHA-256 %s", from.GetResult().GetName(), from.GetBuildId(), text.Size(size), from.GetResult().GetSha256()))
	return nil
}
