package retention

import (
	"fmt"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Policy says how long ended builds are kept. A zero limit is none.
type Policy struct {
	// Project is empty for the farm's policy.
	Project string
	// MaxAge counts from a build's end.
	MaxAge time.Duration `env:"FREEAGENT_RETENTION_AGE" help:"retention policy of a new farm: age limit of ended builds; no limit if 0"`
	// MaxBuilds and MaxBytes bound the newest ended builds of each project. Bytes are those of sources, certificates and
	// results.
	MaxBuilds int64 `env:"FREEAGENT_RETENTION_BUILDS" help:"retention policy of a new farm: number of ended builds per project; no limit if 0"`
	MaxBytes  int64 `env:"FREEAGENT_RETENTION_PROJECT_MB" unit:"MB" help:"retention policy of a new farm: size of sources and results per project in MB; no limit if 0"`
	// FarmBytes bounds the ended builds of all projects together. Only the farm's policy has it.
	FarmBytes int64 `env:"FREEAGENT_RETENTION_FARM_MB" unit:"MB" help:"retention policy of a new farm: size of all sources and results in MB; no limit if 0"`
	// KeepLast keeps the last successful build of each branch, platform and profile: for KeepLastAge after its end, or for
	// ever if that is 0.
	KeepLast    bool          `env:"FREEAGENT_RETENTION_KEEP_LAST" help:"retention policy of a new farm: whether to keep the last successful build of each branch"`
	KeepLastAge time.Duration `env:"FREEAGENT_RETENTION_KEEP_LAST_AGE" help:"retention policy of a new farm: age limit of the last successful build of a branch; no limit if 0"`
	// WorkerAge is after how long of absence a worker is forgotten. Only the farm's policy has it.
	WorkerAge time.Duration `env:"FREEAGENT_RETENTION_WORKER_AGE" help:"retention policy of a new farm: absence after which a worker is forgotten; never if 0"`
	// Inherits: the project's own policy was removed, and the farm's holds from EffectiveAt on.
	Inherits bool

	SetAt, EffectiveAt time.Time
}

// Policies are those of a farm. They are a value: the same policies compare equal.
type Policies struct {
	// Farm is zero, with a zero SetAt, if the farm has none.
	Farm     Policy
	Projects []Policy
}

// Rule is why a build expires.
type Rule string

// The rules, in the order in which they are asked.
const (
	RuleAge       Rule = "age"
	RuleCount     Rule = "count"
	RuleBytes     Rule = "bytes"
	RuleFarmBytes Rule = "farm_bytes"
)

const (
	day = 24 * time.Hour
	// longest keeps every sum of times far from the end of an int64.
	longest = 100 * 365 * day
	// mostBytes is an exbibyte: sums of it stay within an int64.
	mostBytes = 1 << 60
)

// Validate returns build.ErrInvalid for a policy that no farm can have. minAge is the shortest age that makes a difference.
func (p Policy) Validate(minAge time.Duration) error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"age", p.MaxAge}, {"time to keep the last successful build", p.KeepLastAge}, {"time to keep absent workers", p.WorkerAge}} {
		if d.value != 0 && (d.value < minAge || d.value > longest) {
			return fmt.Errorf("%w: the %s must be 0 (no limit) or %s to %s (got %s)", build.ErrInvalid, d.name, Span(minAge), Span(longest), d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"number of builds", p.MaxBuilds}, {"bytes of a project", p.MaxBytes}, {"bytes of the farm", p.FarmBytes}} {
		if n.value < 0 || n.value > mostBytes {
			return fmt.Errorf("%w: the %s must be 0 (no limit) to %d (got %d)", build.ErrInvalid, n.name, int64(mostBytes), n.value)
		}
	}
	switch {
	case p.Project != "" && p.FarmBytes != 0:
		return fmt.Errorf("%w: only the farm's policy can limit the bytes of the farm", build.ErrInvalid)
	case p.Project != "" && p.WorkerAge != 0:
		return fmt.Errorf("%w: only the farm's policy can forget workers", build.ErrInvalid)
	case !p.KeepLast && p.KeepLastAge != 0:
		return fmt.Errorf("%w: the time to keep the last successful build needs keep_last_successful", build.ErrInvalid)
	}
	return nil
}

// Explain names the limit by which a rule let a build go, for people.
func (p Policy) Explain(r Rule) string {
	of := "the farm's policy"
	if p.Project != "" {
		of = "the policy of project " + p.Project
	}
	switch r {
	case RuleAge:
		return fmt.Sprintf("%s (builds are kept for %s)", of, Span(p.MaxAge))
	case RuleCount:
		return fmt.Sprintf("%s (the newest %d builds of a project are kept)", of, p.MaxBuilds)
	case RuleBytes:
		return fmt.Sprintf("%s (at most %d bytes of a project are kept)", of, p.MaxBytes)
	case RuleFarmBytes:
		return fmt.Sprintf("%s (at most %d bytes of the farm are kept)", of, p.FarmBytes)
	}
	return of
}

// Span is a duration for people: whole days where it is some.
func Span(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Of returns the policy that holds for a project, and from when on something may expire by it. It is the farm's where the
// project has none; exists is false if neither has one.
func (ps Policies) Of(project string) (p Policy, from time.Time, exists bool) {
	for _, own := range ps.Projects {
		if own.Project != project {
			continue
		}
		if !own.Inherits {
			return own, own.EffectiveAt, true
		}
		return ps.Farm, latest(own.EffectiveAt, ps.Farm.EffectiveAt), !ps.Farm.SetAt.IsZero()
	}
	return ps.Farm, ps.Farm.EffectiveAt, !ps.Farm.SetAt.IsZero()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// With returns the policies after a change: p in the place of the one that its project has, or removed.
func (ps Policies) With(p Policy, remove bool) Policies {
	changed := Policies{Farm: ps.Farm}
	if p.Project == "" {
		if changed.Farm = p; remove {
			changed.Farm = Policy{}
		}
		changed.Projects = ps.Projects
		return changed
	}
	for _, own := range ps.Projects {
		if own.Project != p.Project {
			changed.Projects = append(changed.Projects, own)
		}
	}
	if !remove {
		changed.Projects = append(changed.Projects, p)
	}
	return changed
}

// Now returns the policies as if nothing had to wait: what a plan is made by.
func (ps Policies) Now() Policies {
	all := Policies{Farm: ps.Farm}
	all.Farm.EffectiveAt = time.Time{}
	for _, own := range ps.Projects {
		own.EffectiveAt = time.Time{}
		all.Projects = append(all.Projects, own)
	}
	return all
}

// Pending returns when the next policy that waits takes effect; zero if none waits.
func (ps Policies) Pending(now time.Time) (first time.Time) {
	for _, p := range append([]Policy{ps.Farm}, ps.Projects...) {
		if p.EffectiveAt.After(now) && (first.IsZero() || p.EffectiveAt.Before(first)) {
			first = p.EffectiveAt
		}
	}
	return first
}
