//go:build linux || darwin

package process

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

const (
	// look is the interval between two reads of the process table.
	look = 10 * time.Millisecond
	// lookLater is the interval after SIGTERM: a grace may be long, and each look reads all processes.
	lookLater = 100 * time.Millisecond
	// giveUp bounds the killing after the grace: a process in an uninterruptible wait does not die.
	giveUp = 5 * time.Second
)

// Kill kills every process of a build attempt and returns when they are gone. It is ErrSurvived if some are not. No process at all is no
// error.
func Kill(mark string) error { return killTree(mark, 0, 0) }

// killTree sends SIGTERM to all processes, after grace SIGKILL to those that are left, and looks again until none is: a process that was forked
// during one look is found by the next. Processes that start after SIGTERM clean up and get none. session adds the members of a session whose
// first process is known; 0 for none.
func killTree(mark string, session int, grace time.Duration) error {
	begin := time.Now()
	terminated := false
	for {
		left, err := members(mark, session)
		if err != nil {
			return fmt.Errorf("list processes: %w", err)
		}
		if len(left) == 0 {
			return nil
		}
		since := time.Since(begin)
		if since > grace+giveUp {
			return fmt.Errorf("%w: %d of them, first %d", ErrSurvived, len(left), left[0].pid)
		}
		for _, m := range left {
			switch {
			case since >= grace:
				m.signal(syscall.SIGKILL)
			case !terminated:
				m.signal(syscall.SIGTERM)
			}
		}
		terminated = true
		release(left)
		if since > lookLater && since < grace {
			<-time.After(min(lookLater, grace-since))
		} else {
			<-time.After(look)
		}
	}
}

// member is a process of a tree. handle was opened before the process was recognised, so on Linux its number cannot belong to another process
// by now.
type member struct {
	pid    int
	handle *os.Process
}

// signal ignores errors: the process is gone, or the next look finds it again.
func (m member) signal(s syscall.Signal) { _ = m.handle.Signal(s) }

func release(ms []member) {
	for _, m := range ms {
		_ = m.handle.Release()
	}
}

// proc is a row of the process table.
type proc struct {
	pid, parent, group, session int
	marked                      bool
}

// members returns the tree: marked processes, their sessions and groups, and descendants. Parents come before their children: a shell whose
// command is killed first would continue, and end as if nobody had told it to.
func members(mark string, session int) ([]member, error) {
	all, handles, err := snapshot(mark)
	if err != nil {
		return nil, err
	}
	in := closure(all, session)
	var left []member
	for pid, h := range handles {
		if in[pid] {
			left = append(left, member{pid, h})
		} else {
			_ = h.Release()
		}
	}
	depth := depths(all, in)
	slices.SortFunc(left, func(a, b member) int {
		return cmp.Or(cmp.Compare(depth[a.pid], depth[b.pid]), cmp.Compare(a.pid, b.pid))
	})
	return left, nil
}

// depths returns how many ancestors in the tree each process has.
func depths(all []proc, in map[int]bool) map[int]int {
	parent, depth := map[int]int{}, map[int]int{}
	for _, p := range all {
		parent[p.pid] = p.parent
	}
	for pid := range in {
		for at := parent[pid]; in[at] && depth[pid] < len(in); at = parent[at] {
			depth[pid]++
		}
	}
	return depth
}

func closure(all []proc, session int) map[int]bool {
	in, sessions, groups := map[int]bool{}, map[int]bool{}, map[int]bool{}
	if session > 0 {
		sessions[session] = true
	}
	self := os.Getpid()
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if in[p.pid] || p.pid == self || p.pid <= 1 {
				continue
			}
			if p.marked || sessions[p.session] || groups[p.group] || in[p.parent] {
				in[p.pid], grew = true, true
				// Only what a member leads is ours: a group that it merely joined may have strangers in it.
				sessions[p.pid], groups[p.pid] = true, true
			}
		}
	}
	return in
}
