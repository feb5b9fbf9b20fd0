package attempt

import (
	"bytes"
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/project/fingerprint"
)

// fingerprint computes the native fingerprint of an app: after the install, and before the native project is made. Clients
// compute theirs from packages that may be older than the lock file; this one is of what is built. A build without one succeeds, and no
// later one can be compared with it.
func (a *attempt) fingerprint(ctx context.Context, ws runtime.Workspace, plan pipeline.Plan) {
	limited, cancel := context.WithTimeout(ctx, fingerprint.Timeout)
	defer cancel()
	output := &boundedBuffer{}
	err := ws.Run(limited, runtime.Command{
		Stage: a.stage, Run: fingerprint.Command(a.job.Platform), Shell: pipeline.Sh, Dir: plan.App, Env: plan.Env, Output: output,
	})
	if err == nil {
		a.made.Fingerprint, err = fingerprint.Parse(output.Bytes())
	}
	switch {
	case ctx.Err() != nil: // the stage that follows says so
	case err != nil:
		a.logLine(ctx, "info", fmt.Sprintf("no native fingerprint, so no later build can be compared with this one when only JavaScript changes: %v", err))
	default:
		a.logLine(ctx, "info", "native fingerprint "+a.made.GetFingerprint())
	}
}

// maxFingerprintOutput bounds what is read of a fingerprint's output, in bytes.
const maxFingerprintOutput = 1 << 20

// boundedBuffer keeps the last bytes.
type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxFingerprintOutput {
		b.Reset()
	}
	return b.Buffer.Write(p[max(0, len(p)-maxFingerprintOutput):])
}
