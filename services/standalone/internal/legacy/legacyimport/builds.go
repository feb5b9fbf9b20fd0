package legacyimport

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// buildPage is how many builds are brought at once.
	buildPage = 100
	// askBytes is when a request is full; the server takes 1 MiB, and so does one message of its bus.
	askBytes = 512 << 10
	// maxError bounds an error message, in bytes: what the server takes.
	maxError = 64 << 10
	// maxOpenLog bounds the log of a build that continues here, in bytes: it is brought with the build. What came first is kept.
	maxOpenLog = 256 << 10
	// lostSource is the error of a build that waited and has no source. A repeated import compares it with the one that is stored, so its
	// words never change.
	lostSource = "Its source was not there when it was taken over from the former controller"
)

// item is a build on its way.
type item struct {
	row   legacydb.Build
	to    legacyapi.Build
	files []*file
	lines int64
}

func (i *item) drop() {
	for _, f := range i.files {
		f.drop()
	}
}

func (r *run) builds(ctx context.Context) error {
	done := int64(0)
	for after := int64(-1); ; {
		rows, err := r.from.Builds(ctx, after, buildPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		after, done = rows[len(rows)-1].Row, done+int64(len(rows))
		if err := r.bringBuilds(ctx, rows); err != nil {
			return err
		}
		r.tell(Builds, done, r.counts.Builds)
	}
}

// bringBuilds imports a batch: it leaves out the builds that differ on the server, uploads the files that the others lack, then imports the
// builds.
func (r *run) bringBuilds(ctx context.Context, rows []legacydb.Build) error {
	var items []*item
	defer func() {
		for _, i := range items {
			i.drop()
		}
	}()
	for _, row := range rows {
		i, err := r.prepare(ctx, row)
		if err != nil {
			return fmt.Errorf("build %s: %w", row.ID, err)
		}
		if i != nil {
			items = append(items, i)
		}
	}
	found, err := r.ask(ctx, items, true)
	if err != nil {
		return err
	}
	var good []*item
	for n, f := range found {
		if f.Outcome == differs {
			r.countDiffering(items[n], f.Note)
			continue
		}
		good = append(good, items[n])
	}
	if err := r.bringFiles(ctx, good); err != nil {
		return err
	}
	if found, err = r.ask(ctx, good, r.check); err != nil {
		return err
	}
	for n, f := range found {
		if f.Outcome == differs { // it changed this very moment
			r.countDiffering(good[n], f.Note)
			continue
		}
		r.countBuild(good[n], f.Outcome)
	}
	return nil
}

// ask imports builds, or only checks them, in as many requests as their logs and messages need.
func (r *run) ask(ctx context.Context, items []*item, check bool) (found []legacyapi.Found, err error) {
	for len(items) > 0 {
		n, size := 0, 0
		for n < len(items) && (n == 0 || size+items[n].weight() <= askBytes) {
			size += items[n].weight()
			n++
		}
		some, err := r.askSome(ctx, items[:n], check)
		if err != nil {
			return nil, err
		}
		items, found = items[n:], append(found, some...)
	}
	return found, nil
}

// weight is about what a build takes of a request, in bytes.
func (i *item) weight() int {
	const itself, line = 1 << 10, 60
	n := itself + len(i.to.Error)
	for _, l := range i.to.Log {
		n += line + len(l.Message)
	}
	return n
}

func (r *run) askSome(ctx context.Context, items []*item, check bool) ([]legacyapi.Found, error) {
	req := legacyapi.Builds{Check: check}
	for _, i := range items {
		req.Builds = append(req.Builds, i.to)
	}
	var resp legacyapi.FoundAll
	if err := legacyapi.New(r.server).Import(ctx, "builds", req, &resp); err != nil {
		return nil, err
	}
	if len(resp.Found) != len(items) {
		return nil, errShort
	}
	return resp.Found, nil
}

// errShort is returned if a response does not fit its request.
var errShort = errors.New("the response of the server does not match the number of items sent")

func eachFound(resp legacyapi.FoundAll, n int, f func(int, legacyapi.Found)) error {
	if len(resp.Found) != n {
		return errShort
	}
	for i, one := range resp.Found {
		f(i, one)
	}
	return nil
}

func (r *run) countBuild(i *item, outcome string) {
	r.report.count(Builds, outcome, 1)
	if i.to.TokenSHA256 != "" {
		r.report.count(Tokens, outcome, 1)
	}
	if !i.row.Ended() {
		r.report.count(Lines, outcome, int64(len(i.to.Log)))
	}
}

func (r *run) countDiffering(i *item, note string) {
	r.report.differ(Builds, i.row.ID, note, 1)
	const why = "its build differs"
	if i.to.TokenSHA256 != "" {
		r.report.differ(Tokens, i.row.ID, why, 1)
	}
	if !i.row.Ended() {
		r.report.differ(Lines, i.row.ID, why, int64(len(i.to.Log)))
	}
	for _, f := range i.files {
		r.report.differ(f.counts, i.row.ID, why, f.things)
	}
}

// prepare reads a build with its files and its log. It returns nil if the build is left out.
func (r *run) prepare(ctx context.Context, row legacydb.Build) (*item, error) {
	i := &item{row: row, to: toServer(row)}
	if why := r.unwanted(row); why != "" {
		return nil, r.leaveWhole(ctx, i, why)
	}
	if w := i.to.WorkerID; w != "" {
		name, err := r.from.WorkerName(ctx, w)
		if err != nil {
			return nil, err
		}
		i.to.WorkerName = text.Cut(text.Line(name), maxWorkerName)
	}
	if err := r.prepareFiles(i); err != nil {
		i.drop()
		return nil, err
	}
	if i.to.Source == "" && !row.Ended() {
		i.to.Status, i.to.Error, i.row.Status = "failed", lostSource, "failed"
		i.to.CompletedAt = max(i.to.SubmittedAt, i.to.StartedAt)
	}
	if err := r.prepareLog(ctx, i); err != nil {
		i.drop()
		return nil, err
	}
	return i, nil
}

// unwanted returns why a build is left out; empty if it is not.
func (r *run) unwanted(row legacydb.Build) string {
	if !build.ValidID(row.ID) {
		return "its id cannot be used"
	}
	if _, err := build.ParsePlatform(row.Platform); err != nil {
		return "its platform is not known"
	}
	switch row.Status {
	case "completed", "failed":
	case "pending", "assigned", "building":
		if r.EndedOnly {
			return "it has not ended; a run without --ended-only imports it"
		}
	default:
		return fmt.Sprintf("its status %.40q is not known", row.Status)
	}
	return ""
}

// leaveWhole counts a build that is left out, with its files and its log.
func (r *run) leaveWhole(ctx context.Context, i *item, why string) error {
	const its = "its build is left out"
	r.report.leave(Builds, i.row.ID, why, 1)
	if i.row.AccessToken != "" {
		r.report.leave(Tokens, i.row.ID, its, 1)
	}
	for kind, path := range map[string]*string{Sources: &i.row.SourcePath, Certs: i.row.CertsPath, Results: i.row.ResultPath} {
		if path != nil && *path != "" {
			r.report.leave(kind, i.row.ID, its, 1)
		}
	}
	n := int64(0)
	err := r.from.Lines(ctx, i.row.ID, func(legacydb.Line) error { n++; return nil })
	r.report.leave(Lines, i.row.ID, its, n)
	return err
}

func toServer(row legacydb.Build) legacyapi.Build {
	to := legacyapi.Build{
		ID: row.ID, Platform: row.Platform, Status: row.Status, SubmittedAt: row.SubmittedAt, WorkerID: orZero(row.WorkerID),
		StartedAt: orZero(row.StartedAt), CompletedAt: orZero(row.CompletedAt), Error: text.Shorten(orZero(row.ErrorMessage), maxError),
	}
	if row.AccessToken != "" {
		to.TokenSHA256 = identity.Hash(row.AccessToken)
	}
	if !build.ValidID(to.WorkerID) {
		to.WorkerID = ""
	}
	if row.Ended() && to.CompletedAt == 0 { // it ends no earlier than it began
		to.CompletedAt = max(to.SubmittedAt, to.StartedAt)
	}
	return to
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// retried is the first line of the log of a build that repeats another one; the database says it nowhere else.
var retried = regexp.MustCompile(`^Build submitted \(retry of ([A-Za-z0-9_-]{1,64})\)$`)

func (i *item) notice(l legacydb.Line) {
	i.lines++
	if m := retried.FindStringSubmatch(l.Message); m != nil && i.lines == 1 {
		i.to.RetryOf = m[1]
	}
}

func levelOf(word string) string {
	switch word = strings.ToLower(word); word {
	case "debug", "info", "warn", "error":
		return word
	}
	return "info"
}
