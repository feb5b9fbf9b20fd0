package scheduler

import (
	"context"
	"fmt"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/store"
)

// superseded is a build that a newer one replaced, and who held it.
type superseded struct {
	build  store.Build
	holder string
}

// supersedes says whether a submit replaces older builds: it asks for that, or its project's rule does. A retry brings an old
// revision back, so the rule does not apply to it.
func (s *Scheduler) supersedes(b store.Build, asked bool) bool {
	return asked || b.RetryOf == "" && s.rules.Project(b.Project).Supersede
}

// supersede cancels the unfinished builds of another revision that b replaces.
func (s *Scheduler) supersede(ctx context.Context, tx *store.Tx, b store.Build) ([]superseded, error) {
	old, err := tx.Superseded(ctx, b)
	if err != nil {
		return nil, err
	}
	var all []superseded
	for _, o := range old {
		holder := ""
		if o.State.Leased() {
			holder = o.WorkerID
		}
		why := fmt.Sprintf("Superseded by build %s (%.12s on %s)", b.ID, b.Origin.Commit, b.Origin.Branch)
		cancelled, err := s.machine.Cancel(ctx, tx, o, why)
		if err != nil {
			return nil, err
		}
		all = append(all, superseded{cancelled, holder})
	}
	return all, nil
}

// supersedeWarning says why a submit that should supersede cannot, if so.
func supersedeWarning(b store.Build) string {
	if b.Origin.Branch == "" || b.Origin.Commit == "" {
		return "No older build is superseded: the branch or the commit of this one is not known."
	}
	return ""
}
