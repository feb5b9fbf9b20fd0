package standalone

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// health is what this process knows of the parts that are embedded in it. The zero value is healthy; it
// is safe for concurrent use.
type health struct {
	mu       sync.Mutex
	problems map[string]string
	// written is when the databases were last found writable, or not: writeErr.
	written  time.Time
	writeErr error
}

// set notes the problem of a part, or with an empty text that it has none. It says whether that changed.
func (h *health) set(part, problem string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.problems[part] != problem
	if problem == "" {
		delete(h.problems, part)
		return changed
	}
	if h.problems == nil {
		h.problems = map[string]string{}
	}
	h.problems[part] = problem
	return changed
}

// list returns the problems in the order of their parts.
func (h *health) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, part := range slices.Sorted(maps.Keys(h.problems)) {
		all = append(all, h.problems[part])
	}
	return all
}

// writableFor is how long an answer about the databases counts: each question is a sync of the disk.
const writableFor = 5 * time.Second

// ready says why this process could not take a submit: there is no other process to ask, so what is
// embedded counts.
func (a *App) ready(ctx context.Context) error {
	if err := a.bus.Failed(); err != nil {
		return err
	}
	if err := a.diskSpace(); err != nil {
		return err
	}
	return a.writable(ctx)
}

// uploadSpace returns how many bytes uploads may count on.
func (a *App) uploadSpace() (uint64, error) {
	if err := freeInodes(a.dir.path); err != nil {
		return 0, err
	}
	return freeSpace(a.dir.path)
}

func (a *App) diskSpace() error {
	if err := freeInodes(a.dir.path); err != nil {
		return err
	}
	free, err := freeSpace(a.dir.path)
	if err != nil {
		return err
	}
	if reserve := a.cfg.Artifact.ReserveBytes; reserve > 0 && free < uint64(reserve) {
		return fmt.Errorf("the disk of %s has %d MiB free, less than the %d MiB held in reserve; free some space", a.dir.path, free>>20, reserve>>20)
	}
	return nil
}

func (a *App) writable(ctx context.Context) error {
	a.health.mu.Lock()
	defer a.health.mu.Unlock()
	if time.Since(a.health.written) < writableFor {
		return a.health.writeErr
	}
	var faults []error
	for _, db := range a.databases {
		faults = append(faults, db.CheckWrite(ctx))
	}
	if ctx.Err() != nil {
		return errors.Join(faults...) // not the databases' fault
	}
	a.health.written, a.health.writeErr = time.Now(), errors.Join(faults...)
	return a.health.writeErr
}

// problems are for /health.
func (a *App) problems() []string {
	all := a.health.list()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if errors.Is(freeInodes(a.dir.path), build.ErrNoSpace) {
		all = append(all, "The disk has hardly any inodes free: builds are not taken. Delete files that are not needed.")
	} else if a.diskSpace() != nil {
		all = append(all, "The disk is full or nearly so: builds are not taken. Free some space.")
	}
	if a.writable(ctx) != nil {
		all = append(all, "A database cannot be written. Check that the disk is not full and not read-only.")
	}
	return all
}

const (
	// guardEvery is how often the embedded bus is asked whether it failed.
	guardEvery = time.Second
	// guardSpace must be free before a restart of the bus can help.
	guardSpace = 32 << 20
	// guardWait and guardWaitMost bound the pause between two restarts, which doubles while they do not help.
	guardWait     = 5 * time.Second
	guardWaitMost = 5 * time.Minute
	// guardCalm without a failure makes the next pause the first again.
	guardCalm = 10 * time.Minute
)

// guardBus restarts the embedded bus after it failed to store a message, as soon as the disk has space
// again: it would refuse everything until then. If it does not start any more, the process ends, for
// its supervisor to start it anew.
func (a *App) guardBus(ctx context.Context) error {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	wait, last := guardWait, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		failed := a.bus.Failed()
		if failed == nil {
			a.health.set("bus", "")
			continue
		}
		if a.health.set("bus", "The embedded bus cannot store messages. It is restarted as soon as the disk has space.") {
			a.cfg.Log.ErrorContext(ctx, "embedded bus failed; it restarts when the disk has space", "err", failed)
		}
		if time.Since(last) > guardCalm {
			wait = guardWait
		}
		free, err := freeSpace(a.dir.join("bus"))
		if err != nil || free < guardSpace || freeInodes(a.dir.join("bus")) != nil || time.Since(last) < wait {
			continue
		}
		if err := a.bus.Restart(); err != nil {
			return fmt.Errorf("restart the embedded bus: %w", err)
		}
		a.health.set("bus", "")
		last, wait = time.Now(), min(2*wait, guardWaitMost)
		a.cfg.Log.InfoContext(ctx, "embedded bus restarted", "reason", failed)
	}
}

const (
	// checkAtStart bounds the check of the databases before a start. Larger ones are checked later.
	checkAtStart = 2 * time.Second
	// checkAfter and checkEvery schedule the checks of a running server, each bounded by checkFor.
	checkAfter = 5 * time.Minute
	checkEvery = 24 * time.Hour
	checkFor   = 30 * time.Minute
)

// checkDatabases refuses a start on damaged databases. What cannot be read in time is checked in the
// background.
func (a *App) checkDatabases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkAtStart)
	defer cancel()
	faults := make([]error, len(a.databases))
	var checks sync.WaitGroup
	for i, name := range slices.Sorted(maps.Keys(a.databases)) {
		checks.Go(func() { faults[i] = damage(name, a.databases[name].QuickCheck(ctx)) })
	}
	checks.Wait()
	return errors.Join(faults...)
}

// damage passes on what is wrong with a database, and nothing of a check that did not come to its end.
func damage(name string, err error) error {
	if !errors.Is(err, database.ErrDamaged) {
		return nil
	}
	return fmt.Errorf("%s.db: %w. Restore the data directory from a backup; to save what can be read, copy it first and use sqlite3's .recover", name, err)
}

// checkOn checks the databases once a day, one after the other.
func (a *App) checkOn(ctx context.Context) error {
	next := time.NewTimer(checkAfter)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		for _, name := range slices.Sorted(maps.Keys(a.databases)) {
			a.checkOne(ctx, name)
		}
		next.Reset(checkEvery)
	}
}

func (a *App) checkOne(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	began := time.Now()
	err := a.databases[name].QuickCheck(ctx)
	switch bad := damage(name, err); {
	case bad != nil:
		a.health.set("database "+name, name+".db is damaged. Stop the server and restore the data directory from a backup.")
		a.cfg.Log.ErrorContext(ctx, "database damaged", "err", bad)
	case err != nil:
		a.cfg.Log.WarnContext(ctx, "check database failed", "database", name, "err", err)
	default:
		a.health.set("database "+name, "")
		a.cfg.Log.DebugContext(ctx, "database checked", "database", name, "took", time.Since(began).Round(time.Millisecond))
	}
}
