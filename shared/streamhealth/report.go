package streamhealth

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Why a node is named.
const (
	causeOff    = "JetStream is off there, as after a full disk"
	causeAway   = "it does not answer"
	causeSilent = "it does not follow its streams"
	causeWrites = "it does not store what it is sent"
)

// node is one that needs its operator.
type node struct{ name, cause string }

// report is what is wrong with the bus.
type report struct {
	// blocked are the streams in which nothing can be stored, and why the last of them.
	blocked []string
	why     string
	// degraded are streams that some nodes do not store.
	degraded []string
	nodes    []node
	logged   logged
}

// logged is what the log knows of the present episode.
type logged struct {
	blocked bool
	nodes   []string
}

func (r report) bad() bool { return len(r.blocked) > 0 || len(r.nodes) > 0 }

// sentences are for operators.
func (r report) sentences() []string {
	if !r.bad() {
		return nil
	}
	return []string{r.what() + " " + r.cure()}
}

func (r report) what() string {
	if len(r.blocked) > 0 {
		return fmt.Sprintf("The bus cannot store in %s: submits are refused.", strings.Join(r.blocked, ", "))
	}
	on := ""
	if len(r.degraded) > 0 {
		on = " (" + strings.Join(r.degraded, ", ") + ")"
	}
	return fmt.Sprintf("The bus stores with fewer nodes than it has%s: builds continue, and the next node that fails stops them.", on)
}

func (r report) cure() string {
	if len(r.nodes) == 0 {
		return "Look at the disk and the log of each node of the bus, and restart those that stopped storing."
	}
	named := make([]string, len(r.nodes))
	for i, n := range r.nodes {
		named[i] = fmt.Sprintf("%s (%s)", n.name, n.cause)
	}
	return "Make sure that there is free disk space, then restart " + strings.Join(named, ", ") + "."
}

// log writes a line when an episode begins, when it grows, and when it is over.
func (r *report) log(ctx context.Context, to *slog.Logger) {
	if !r.bad() {
		if r.logged.blocked || r.logged.nodes != nil {
			to.InfoContext(ctx, "bus stores again on all nodes")
		}
		r.logged = logged{}
		return
	}
	var names []string
	for _, n := range r.nodes {
		names = append(names, n.name)
	}
	blocked := len(r.blocked) > 0
	if (!blocked || r.logged.blocked) && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(r.logged.nodes, n) }) {
		return
	}
	r.logged.blocked = r.logged.blocked || blocked
	r.logged.nodes = append(slices.Clone(r.logged.nodes), names...)
	if blocked {
		to.ErrorContext(ctx, "bus cannot store, submits are refused", "streams", r.blocked, "why", r.why, "nodes", names, "cure", r.cure())
		return
	}
	to.ErrorContext(ctx, "bus nodes do not store", "streams", r.degraded, "nodes", names, "cure", r.cure())
}
