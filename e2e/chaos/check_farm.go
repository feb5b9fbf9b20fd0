package chaos

import (
	"slices"
)

// checkFarm looks at what concerns more than one build.
func (e Evidence) checkFarm(say func(promise, build, format string, args ...any)) {
	e.checkSubmits(say)
	for id, what := range e.Stuck {
		say(promiseServed, id, "%s", what)
	}
	e.checkHook(say)
	e.checkFigures(say)
	for _, what := range e.Leftovers {
		say(promiseTidy, "-", "%s", what)
	}
	e.checkStarts(say)
}

// checkSubmits wants one build at most of each submit: none sends what another sent.
func (e Evidence) checkSubmits(say func(promise, build, format string, args ...any)) {
	bySource := map[string][]string{}
	for id, b := range e.Builds {
		if b.Source != nil {
			bySource[b.Source.SHA256] = append(bySource[b.Source.SHA256], id)
		}
	}
	for _, ids := range bySource {
		if slices.Sort(ids); len(ids) > 1 {
			say(promiseOnce, ids[0], "the same submit is also %v", ids[1:])
		}
	}
	for _, c := range e.Calls {
		b, known := e.Builds[c.Build]
		if c.Kind == submit && c.Acknowledged && known && b.Source != nil && b.Source.SHA256 != c.Source {
			say(promiseOnce, c.Build, "it is built of %.12s, and %.12s was sent", b.Source.SHA256, c.Source)
		}
	}
}

// checkHook wants the end of each build among what the webhook was sent. It may be sent twice, and in another order: a delivery that
// was not answered is repeated.
func (e Evidence) checkHook(say func(promise, build, format string, args ...any)) {
	if e.Delivered == nil {
		return
	}
	for id, b := range e.Builds {
		if want := "build." + b.Status; b.Final() && !slices.Contains(e.Delivered[id], want) {
			say(promiseHook, id, "it is %s, its webhook was sent %v", b.Status, e.Delivered[id])
		}
	}
	for id, events := range e.Delivered {
		b, known := e.Builds[id]
		if !known {
			say(promiseHook, id, "the webhook was sent %v of a build that there is not", events)
			continue
		}
		for _, event := range []string{"build.completed", "build.failed", "build.cancelled"} {
			if slices.Contains(events, event) && event != "build."+b.Status {
				say(promiseHook, id, "it is %s, its webhook was sent %v", b.Status, events)
			}
		}
	}
}

// checkFigures compares the figures with the builds.
func (e Evidence) checkFigures(say func(promise, build, format string, args ...any)) {
	if e.Figures.Submitted == 0 {
		return
	}
	count, lost := map[string]int64{}, int64(0)
	for _, b := range e.Builds {
		count[b.Status]++
		for i, a := range b.Attempts {
			if a.Outcome == "lost" && i < len(b.Attempts)-1 {
				lost++
			}
		}
	}
	for _, f := range []struct {
		what      string
		got, want int64
	}{
		{"submitted", e.Figures.Submitted, int64(len(e.Builds))}, {"completed", e.Figures.Completed, count["completed"]},
		{"failed", e.Figures.Failed, count["failed"]}, {"cancelled", e.Figures.Cancelled, count["cancelled"]},
	} {
		if f.got != f.want {
			say(promiseFigures, "-", "%d are counted as %s, there are %d", f.got, f.what, f.want)
		}
	}
	if e.Figures.LostAttempts < lost {
		say(promiseFigures, "-", "%d attempts are counted as lost, there are %d", e.Figures.LostAttempts, lost)
	}
}

// firstStarts is by which start each of the projects of the order probe has had its first: one for each project, and what two schedulers
// may choose at the same moment.
const firstStarts = probeProjects + probeRunning + 1

// checkStarts wants every project of the order probe among the first to start.
func (e Evidence) checkStarts(say func(promise, build, format string, args ...any)) {
	if len(e.Starts) == 0 {
		return
	}
	for _, project := range probeNames() {
		if i := slices.Index(e.Starts, project); i < 0 || i >= firstStarts {
			say(promiseFair, "-", "the first build of %s was start %d of %v", project, i+1, e.Starts)
		}
	}
}
