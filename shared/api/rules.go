package api

import (
	"context"
	"net/http"
	"net/url"
)

// Rules are those of projects and pools that have one, and what applies to the others: GET /rules.
type Rules struct {
	Projects []ProjectRule `json:"projects"`
	Pools    []PoolRule    `json:"pools"`
	// DefaultWeight is the weight of a project without one.
	DefaultWeight int32 `json:"default_weight"`
	// DefaultMaxPriority is the highest priority that a submit may ask for.
	DefaultMaxPriority int32 `json:"default_max_priority"`
	// AgeSeconds is how long a build waits until its priority counts as one higher; 0 means never.
	AgeSeconds int64 `json:"age_seconds"`
}

// ProjectRule is how a project's builds are queued: PUT /rules/project?project=NAME. What is 0 or absent is the default.
type ProjectRule struct {
	Name string `json:"name,omitempty" readOnly:"true"`
	// Weight is the project's share of the farm relative to other projects that wait.
	Weight int32 `json:"weight,omitempty" minimum:"0" maximum:"1000"`
	// MaxRunning bounds its builds that run or are on offer, over all pools; 0 means no limit.
	MaxRunning int32 `json:"max_running,omitempty" minimum:"0" maximum:"100000"`
	// MaxPriority is the highest priority that a submit gets.
	MaxPriority *int32 `json:"max_priority,omitempty" minimum:"-100" maximum:"100"`
	// Supersede has every submit cancel unfinished builds of another commit of its branch, platform and profile.
	Supersede bool `json:"supersede,omitempty"`
}

// PoolRule is how a pool's builds are queued: PUT /rules/pool?pool=NAME.
type PoolRule struct {
	Name string `json:"name,omitempty" readOnly:"true"`
	// MaxRunning bounds its builds that run or are on offer; 0 means no limit.
	MaxRunning int32 `json:"max_running,omitempty" minimum:"0" maximum:"100000"`
}

// RulesService reads and sets the dispatch rules of projects and pools.
type RulesService struct{ conn *conn }

// Get reads all dispatch rules.
func (s *RulesService) Get(ctx context.Context) (r Rules, err error) {
	err = s.conn.call(ctx, http.MethodGet, Path+"/rules", nil, &r)
	return r, err
}

// SetProject replaces a project's rule; an empty one removes it. It is build.ErrInvalid if a value is out of range.
func (s *RulesService) SetProject(ctx context.Context, project string, r ProjectRule) (out ProjectRule, err error) {
	r.Name = ""
	err = s.conn.call(ctx, http.MethodPut, Path+"/rules/project?project="+url.QueryEscape(project), r, &out)
	return out, err
}

// SetPool replaces a pool's rule; an empty one removes it. It is build.ErrInvalid if a value is out of range.
func (s *RulesService) SetPool(ctx context.Context, pool string, r PoolRule) (out PoolRule, err error) {
	r.Name = ""
	err = s.conn.call(ctx, http.MethodPut, Path+"/rules/pool?pool="+url.QueryEscape(pool), r, &out)
	return out, err
}
