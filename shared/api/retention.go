package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// RetentionPolicy says which ended builds expire. A limit that is left out, or 0, is none.
type RetentionPolicy struct {
	// MaxAgeSeconds since a build's end.
	MaxAgeSeconds int64 `json:"max_age_seconds,omitempty"`
	// MaxBuilds and MaxBytes bound the newest ended builds of each project. Bytes are those of sources, certificates and results.
	MaxBuilds int64 `json:"max_builds,omitempty"`
	MaxBytes  int64 `json:"max_bytes,omitempty"`
	// FarmBytes bounds those of all projects together. Only the farm's policy has it.
	FarmBytes int64 `json:"farm_bytes,omitempty"`
	// KeepLastSuccessful keeps the last successful build of each branch, platform and profile, for KeepLastSeconds after its end
	// or, if that is 0, for ever.
	KeepLastSuccessful bool  `json:"keep_last_successful,omitempty"`
	KeepLastSeconds    int64 `json:"keep_last_seconds,omitempty"`
	// WorkerAgeSeconds is after how long of absence a worker is forgotten. Only the farm's policy has it.
	WorkerAgeSeconds int64 `json:"worker_age_seconds,omitempty"`
}

// SetPolicy is a policy that somebody has set.
type SetPolicy struct {
	// Project is empty for the farm's policy, which holds for every project without one of its own.
	Project string `json:"project,omitempty"`
	RetentionPolicy
	SetAt string `json:"set_at"`
	// EffectiveAt is when the first build may expire by it.
	EffectiveAt string `json:"effective_at"`
}

// Retention is the answer to GET, PUT and DELETE /retention.
type Retention struct {
	// Farm is absent if the farm has no policy: then builds of projects without one are kept for ever.
	Farm     *SetPolicy  `json:"farm,omitempty"`
	Projects []SetPolicy `json:"projects"`
	// LastSweep is absent before the first.
	LastSweep *RetentionSweep `json:"last_sweep,omitempty"`
	// Expired builds leave a trace for TraceSeconds. Cleaning counts those whose bytes are still being deleted.
	Expired      int64 `json:"expired"`
	Cleaning     int64 `json:"cleaning"`
	TraceSeconds int64 `json:"trace_seconds"`
	Pinned       int64 `json:"pinned"`
	// NoticeSeconds is how long a change of policy waits.
	NoticeSeconds int64 `json:"notice_seconds"`
	// Notice says what will happen next; absent if nothing will.
	Notice string `json:"notice,omitempty"`
}

// RetentionSweep is what a sweep did.
type RetentionSweep struct {
	BeganAt string `json:"began_at"`
	EndedAt string `json:"ended_at"`
	Builds  int64  `json:"builds"`
	Bytes   int64  `json:"bytes"`
	Workers int64  `json:"workers"`
	// Error says why it stopped early; the next one continues.
	Error string `json:"error,omitempty"`
}

// RetentionPlan is what would expire now if no policy had to wait.
type RetentionPlan struct {
	Builds int64 `json:"builds"`
	// Bytes that deleting them frees. If they are Estimated, some logs and results of lost attempts are left out.
	Bytes     int64 `json:"bytes"`
	Estimated bool  `json:"estimated,omitempty"`
	// Workers that are forgotten.
	Workers  int64            `json:"workers"`
	Projects []PlannedProject `json:"projects"`
	// Oldest are the builds that go first.
	Oldest []PlannedBuild `json:"oldest"`
	// BeginsAt is when a policy that waits takes effect; absent if none waits.
	BeginsAt string `json:"begins_at,omitempty"`
}

// PlannedProject counts a project's builds that would expire. Bytes are those of sources, certificates and results.
type PlannedProject struct {
	Project string `json:"project"`
	Builds  int64  `json:"builds"`
	Bytes   int64  `json:"bytes"`
}

// PlannedBuild is one that would expire.
type PlannedBuild struct {
	ID         string `json:"id"`
	Project    string `json:"project,omitempty"`
	Status     string `json:"status"`
	FinishedAt string `json:"finished_at"`
	Bytes      int64  `json:"bytes"`
	// Rule is age, count, bytes or farm_bytes.
	Rule string `json:"rule"`
}

// Pin keeps a build whatever the policies say.
type Pin struct {
	PinnedAt string `json:"pinned_at"`
	Note     string `json:"note,omitempty"`
}

// NewPin is the body of PUT /builds/{id}/pin.
type NewPin struct {
	// Note says why, for people: at most 200 characters.
	Note string `json:"note,omitempty" maxLength:"200"`
}

// Expired is what is left of a build that has expired; it comes with the 410 of each request about it.
type Expired struct {
	ID          string `json:"id"`
	Project     string `json:"project,omitempty"`
	Platform    string `json:"platform"`
	Status      string `json:"status"`
	SubmittedAt string `json:"submitted_at"`
	AssignedAt  string `json:"assigned_at,omitempty"`
	FinishedAt  string `json:"finished_at"`
	ExpiredAt   string `json:"expired_at"`
	// Rule is age, count, bytes or farm_bytes; Policy is the limit, for people.
	Rule   string `json:"rule"`
	Policy string `json:"policy"`
}

// RetentionService reads and sets what expires when.
type RetentionService struct{ conn *conn }

func retentionPath(tail, project string, more url.Values) string {
	q := url.Values{}
	for name, values := range more {
		q[name] = values
	}
	if project != "" {
		q.Set("project", project)
	}
	path := Path + "/retention" + tail
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}

// Get reads the policies and what the last sweep did.
func (s *RetentionService) Get(ctx context.Context) (r Retention, err error) {
	err = s.conn.call(ctx, http.MethodGet, retentionPath("", "", nil), nil, &r)
	return r, err
}

// Set replaces a project's policy, or the farm's if project is empty.
func (s *RetentionService) Set(ctx context.Context, project string, p RetentionPolicy) (r Retention, err error) {
	err = s.conn.call(ctx, http.MethodPut, retentionPath("", project, nil), p, &r)
	return r, err
}

// Delete removes a policy. A project without one has the farm's; a farm without one keeps everything.
func (s *RetentionService) Delete(ctx context.Context, project string) (r Retention, err error) {
	err = s.conn.call(ctx, http.MethodDelete, retentionPath("", project, nil), nil, &r)
	return r, err
}

// Plan reads what would expire and lists at most limit builds of it (0: the server's default).
func (s *RetentionService) Plan(ctx context.Context, limit int) (p RetentionPlan, err error) {
	err = s.conn.call(ctx, http.MethodGet, retentionPath("/plan", "", limitOf(limit)), nil, &p)
	return p, err
}

// PlanWith reads what would expire if a policy were replaced or, if p is nil, removed.
func (s *RetentionService) PlanWith(ctx context.Context, project string, p *RetentionPolicy, limit int) (plan RetentionPlan, err error) {
	q, body := limitOf(limit), any(p)
	if p == nil {
		q.Set("remove", "true")
		body = RetentionPolicy{}
	}
	err = s.conn.call(ctx, http.MethodPost, retentionPath("/plan", project, q), body, &plan)
	return plan, err
}

func limitOf(n int) url.Values {
	q := url.Values{}
	if n > 0 {
		q.Set("limit", strconv.Itoa(n))
	}
	return q
}
