package legacy

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"golang.org/x/sync/errgroup"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	monitorv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/monitor/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	// maxFiles and maxBuilds bound a batch: a build has at most four files, and the artifact
	// service accepts 500 a request.
	maxFiles  = 400
	maxBuilds = 100
	// legacyAttempt is the number of the attempt that the legacy controller made.
	legacyAttempt = 1
	// recordsAtOnce is how many logs of a batch are recorded side by side.
	recordsAtOnce = 8
)

// importer imports one batch.
type importer[Req, Resp any] func(context.Context, *Req) (Resp, error)

// handleImport reads a batch, imports it and answers.
func handleImport[Req, Resp any](a *API, do importer[Req, Resp]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		err := httpapi.ReadJSON(w, r, &req)
		var resp Resp
		if err == nil {
			resp, err = do(r.Context(), &req)
		}
		if err != nil {
			a.Fail(w, r, httpapi.V2, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store") // places hold tickets
		httpx.WriteJSON(w, http.StatusOK, resp)
	}
}

// kindOf returns the artifact service's kind and attempt of a file; kind 0 if the name is unknown.
func kindOf(name string) (kind artifactv1.Kind, attempt int32) {
	switch name {
	case "source":
		return artifactv1.Kind_KIND_SOURCE, 0
	case "certs":
		return artifactv1.Kind_KIND_CERTS, 0
	case "result":
		return artifactv1.Kind_KIND_RESULT, legacyAttempt
	case "log":
		return artifactv1.Kind_KIND_LOG, 0
	}
	return artifactv1.Kind_KIND_UNSPECIFIED, 0
}

func fileOf(f legacyapi.File) (*artifactv1.File, error) {
	kind, attempt := kindOf(f.Kind)
	if kind == artifactv1.Kind_KIND_UNSPECIFIED {
		return nil, httpx.Refuse(build.ErrInvalid, "Unknown file kind %.40q", f.Kind)
	}
	return &artifactv1.File{
		BuildId: f.BuildID, Kind: kind, Attempt: attempt, Name: f.Name, Size: f.Size, Sha256: f.SHA256, Lines: f.Lines,
	}, nil
}

func (a *API) importFiles(ctx context.Context, req *legacyapi.Files) (legacyapi.Places, error) {
	if len(req.Files) > maxFiles {
		return legacyapi.Places{}, httpx.Refuse(build.ErrTooLarge, "%d files in one batch, the limit is %d", len(req.Files), maxFiles)
	}
	files := make([]*artifactv1.File, len(req.Files))
	for i, f := range req.Files {
		var err error
		if files[i], err = fileOf(f); err != nil {
			return legacyapi.Places{}, err
		}
	}
	places, err := a.askPlaces(ctx, files, req.Check)
	if err != nil {
		return legacyapi.Places{}, err
	}
	resp := legacyapi.Places{Places: make([]legacyapi.Place, len(places))}
	for i, p := range places {
		resp.Places[i].ObjectID, resp.Places[i].Removed = p.GetObject().GetObjectId(), p.GetRemoved()
		if grant := p.GetGrant(); grant != nil {
			resp.Places[i].Upload = &api.Upload{
				ID: grant.GetObjectId(), URL: grant.GetUrl(), Headers: grant.GetHeaders(), ExpiresAt: httpapi.Time(grant.GetExpiresAtMs()),
				MaxBytes: grant.GetMaxBytes(),
			}
		}
	}
	return resp, nil
}

func (a *API) askPlaces(ctx context.Context, files []*artifactv1.File, check bool) ([]*artifactv1.Place, error) {
	if len(files) == 0 {
		return nil, nil
	}
	resp, err := a.artifact.TakeOver(ctx, &artifactv1.TakeOverRequest{Files: files, Check: check})
	return resp.GetPlaces(), err
}

// importBuilds imports builds whose files are stored. It marks the files as in use and stores the
// tokens before the builds, so that a build is complete once it exists.
func (a *API) importBuilds(ctx context.Context, req *legacyapi.Builds) (legacyapi.FoundAll, error) {
	if len(req.Builds) > maxBuilds {
		return legacyapi.FoundAll{}, httpx.Refuse(build.ErrTooLarge, "%d builds in one batch, the limit is %d", len(req.Builds), maxBuilds)
	}
	b, err := newBatch(req.Builds)
	if err != nil {
		return legacyapi.FoundAll{}, err
	}
	if err := a.resolve(ctx, b, req.Check); err != nil {
		return legacyapi.FoundAll{}, err
	}
	if ids := b.objects(); !req.Check && len(ids) > 0 {
		if _, err := a.Farm.Artifact.Keep(ctx, &artifactv1.KeepRequest{ObjectIds: ids}); err != nil {
			return legacyapi.FoundAll{}, err
		}
	}
	if err := a.recordLogs(ctx, b, req.Check); err != nil {
		return legacyapi.FoundAll{}, err
	}
	fresh, err := a.Tokens.Put(ctx, b.tokens, req.Check)
	if err != nil {
		return legacyapi.FoundAll{}, err
	}
	resp, err := a.scheduler.ImportBuilds(ctx, b.request(req.Check))
	if err != nil {
		return legacyapi.FoundAll{}, err
	}
	all := foundAll(resp.GetFound())
	for i, f := range all.Found {
		if f.Outcome == legacyapi.Present && fresh[req.Builds[i].ID] {
			all.Found[i] = legacyapi.Found{Outcome: legacyapi.Added, Note: "added its access token"}
		}
	}
	return all, nil
}

func foundAll(found []*schedulerv1.Found) legacyapi.FoundAll {
	words := map[schedulerv1.Found_Outcome]string{
		schedulerv1.Found_OUTCOME_ADDED: legacyapi.Added, schedulerv1.Found_OUTCOME_PRESENT: legacyapi.Present,
		schedulerv1.Found_OUTCOME_DIFFERS: legacyapi.Differs,
	}
	all := legacyapi.FoundAll{Found: make([]legacyapi.Found, len(found))}
	for i, f := range found {
		all.Found[i] = legacyapi.Found{Outcome: words[f.GetOutcome()], Note: f.GetNote()}
	}
	return all
}

// batch is a batch of builds in the making.
type batch struct {
	builds []*schedulerv1.Build
	logs   []*eventsv1.LogChunk
	// archives are the logs of builds that ended.
	archives []*artifactv1.RecordLogRequest
	tokens   map[string]string
	// files are those that the builds name, and set says where each one's place goes.
	files []*artifactv1.File
	set   []func(*eventsv1.ObjectRef)
	refs  []*eventsv1.ObjectRef
}

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func newBatch(builds []legacyapi.Build) (*batch, error) {
	b := &batch{tokens: map[string]string{}}
	for _, f := range builds {
		if f.TokenSHA256 != "" {
			if !hexSHA256.MatchString(f.TokenSHA256) {
				return nil, httpx.Refuse(build.ErrInvalid, "Build %.80q: token_sha256 must be a SHA-256 in lower-case hexadecimal", f.ID)
			}
			b.tokens[f.ID] = f.TokenSHA256
		}
		v := buildOf(f)
		b.builds = append(b.builds, v)
		b.name("source", f, f.Source, f.SourceSize, func(r *eventsv1.ObjectRef) { v.Source = r })
		b.name("certs", f, f.Certs, f.CertsSize, func(r *eventsv1.ObjectRef) { v.Certs = r })
		b.name("result", f, f.Result, f.ResultSize, func(r *eventsv1.ObjectRef) { v.Result = r })
		b.name("log", f, f.LogSum, f.LogSize, func(r *eventsv1.ObjectRef) {
			// Its age counts from now on, or old logs would be removed as soon as they have come.
			b.archives = append(b.archives, &artifactv1.RecordLogRequest{BuildId: f.ID, ObjectId: r.GetObjectId()})
		})
		if len(f.Log) > 0 {
			b.logs = append(b.logs, logOf(f))
		}
	}
	return b, nil
}

func (b *batch) name(word string, f legacyapi.Build, sum string, size int64, set func(*eventsv1.ObjectRef)) {
	if sum == "" {
		return
	}
	kind, attempt := kindOf(word)
	file := &artifactv1.File{BuildId: f.ID, Kind: kind, Attempt: attempt, Size: size, Sha256: sum}
	if kind == artifactv1.Kind_KIND_LOG {
		file.Lines = f.LogLines
	}
	b.files = append(b.files, file)
	b.set = append(b.set, set)
}

// buildOf returns the build in the terms of the scheduler. The legacy controller called a cancelled
// build failed, with this message.
func buildOf(f legacyapi.Build) *schedulerv1.Build {
	state := f.Status
	if state == string(build.Failed) && f.Error == httpapi.MsgCancelled {
		state = string(build.Cancelled)
	}
	return &schedulerv1.Build{
		Id: f.ID, Platform: f.Platform, State: state, WorkerId: f.WorkerID, WorkerName: f.WorkerName, Error: f.Error, RetryOf: f.RetryOf,
		SubmittedAtMs: f.SubmittedAt, AssignedAtMs: f.StartedAt, StartedAtMs: f.StartedAt, FinishedAtMs: f.CompletedAt,
	}
}

func logOf(f legacyapi.Build) *eventsv1.LogChunk {
	c := &eventsv1.LogChunk{BuildId: f.ID, Attempt: legacyAttempt}
	for _, l := range f.Log {
		c.Lines = append(c.Lines, &eventsv1.LogLine{AtMs: l.At, Level: l.Level, Text: l.Message})
	}
	return c
}

// resolve finds the objects that the builds name.
func (a *API) resolve(ctx context.Context, b *batch, check bool) error {
	places, err := a.askPlaces(ctx, b.files, true)
	if err != nil {
		return err
	}
	for i, p := range places {
		if p.GetRemoved() {
			continue
		}
		if p.GetObject() == nil && !check {
			f := b.files[i]
			return httpx.Refuse(httpapi.ErrConflict, "The %s of build %s with SHA-256 %s is missing. Import it first", kindName(f.GetKind()), f.GetBuildId(), f.GetSha256())
		}
		if p.GetObject() != nil {
			if b.files[i].GetKind() != artifactv1.Kind_KIND_LOG { // recording keeps it
				b.refs = append(b.refs, p.GetObject())
			}
			b.set[i](p.GetObject())
		} else { // so that the answer is that of a build with all of its files
			b.set[i](&eventsv1.ObjectRef{ObjectId: "to-be-brought"})
		}
	}
	return nil
}

func kindName(k artifactv1.Kind) string {
	for _, name := range []string{"source", "certs", "result", "log"} {
		if kind, _ := kindOf(name); kind == k {
			return name
		}
	}
	return "file"
}

func (b *batch) objects() (ids []string) {
	for _, r := range b.refs {
		ids = append(ids, r.GetObjectId())
	}
	return ids
}

func (b *batch) request(check bool) *schedulerv1.ImportBuildsRequest {
	return &schedulerv1.ImportBuildsRequest{Builds: b.builds, Logs: b.logs, Check: check}
}

// recordLogs makes archives the logs of their builds.
func (a *API) recordLogs(ctx context.Context, b *batch, check bool) error {
	if check {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(recordsAtOnce)
	for _, archive := range b.archives {
		group.Go(func() error {
			if _, err := a.artifact.RecordLog(ctx, archive); err != nil {
				return fmt.Errorf("log of build %s: %w", archive.GetBuildId(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (a *API) importWorkers(ctx context.Context, req *legacyapi.Workers) (legacyapi.FoundAll, error) {
	ask := &schedulerv1.ImportWorkersRequest{Check: req.Check}
	for _, w := range req.Workers {
		ask.Workers = append(ask.Workers, &schedulerv1.Worker{
			Id: w.ID, Name: w.Name, Platforms: w.Platforms, Slots: int32(min(max(w.Slots, 0), 1<<16)), Labels: w.Labels,
			RegisteredAtMs: w.RegisteredAt, SeenAtMs: w.SeenAt,
		})
	}
	resp, err := a.scheduler.ImportWorkers(ctx, ask)
	if err != nil {
		return legacyapi.FoundAll{}, err
	}
	return foundAll(resp.GetFound()), nil
}

func (a *API) importSnapshots(ctx context.Context, req *legacyapi.Snapshots) (legacyapi.Tally, error) {
	ask := &monitorv1.ImportSnapshotsRequest{Check: req.Check}
	for _, s := range req.Snapshots {
		ask.Snapshots = append(ask.Snapshots, &monitorv1.Snapshot{
			Number: s.Number, BuildId: s.BuildID, AtMs: s.At, CpuPercent: s.CPUPercent, MemoryMb: s.MemoryMB,
		})
	}
	return tally(a.monitor.ImportSnapshots(ctx, ask))
}

func (a *API) importReports(ctx context.Context, req *legacyapi.Reports) (legacyapi.Tally, error) {
	ask := &monitorv1.ImportReportsRequest{Check: req.Check}
	for _, r := range req.Reports {
		ask.Reports = append(ask.Reports, &monitorv1.Report{
			Id: r.ID, WorkerId: r.WorkerID, Status: r.Status, RunAtMs: r.RunAt, DurationMs: r.DurationMs, AutoFixed: r.AutoFixed, ChecksJson: r.Checks,
		})
	}
	return tally(a.monitor.ImportReports(ctx, ask))
}

// tallied is an answer of the monitor's with counts.
type tallied interface {
	GetAdded() int64
	GetPresent() int64
	GetDiffer() int64
}

func tally[T tallied](resp T, err error) (legacyapi.Tally, error) {
	return legacyapi.Tally{Added: resp.GetAdded(), Present: resp.GetPresent(), Differ: resp.GetDiffer()}, err
}
