// Command freeagent-chaos breaks a cluster while it builds, and checks what it promised. Exit code 1: a promise was broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/chaos"
	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "freeagent-chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	plan, forget, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := plan.Cluster.Dir != "" && !forget // it was asked for
	if plan.Cluster.Dir, err = freshDir(plan.Cluster.Dir); err != nil {
		return err
	}
	if forget {
		defer func() { err = errors.Join(err, os.RemoveAll(plan.Cluster.Dir)) }()
	}
	report, err := chaos.Run(ctx, plan)
	if err != nil {
		return fmt.Errorf("%w (logs in %s)", err, plan.Cluster.Dir)
	}
	if err := save(filepath.Join(plan.Cluster.Dir, "report.json"), report); err != nil {
		return err
	}
	show(os.Stdout, report)
	if n := len(report.Violations); n > 0 {
		return fmt.Errorf("%d promises were broken; logs and report.json are in %s", n, plan.Cluster.Dir)
	}
	if keep {
		fmt.Println("logs and report.json are in", plan.Cluster.Dir)
		return nil
	}
	return os.RemoveAll(plan.Cluster.Dir)
}

func parse(args []string) (plan chaos.Plan, forget bool, err error) {
	plan = chaos.DefaultPlan()
	plan.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	own := &plan.Cluster
	flags := flag.NewFlagSet("freeagent-chaos", flag.ContinueOnError)
	flags.StringVar(&own.Bin, "bin", ".bin/cluster", "directory of the programs")
	flags.StringVar(&own.Dir, "dir", "", "directory of data, logs and the report; empty: a temporary one, which is kept if a promise was broken")
	flags.StringVar(&own.S3, "s3", cluster.Versitygw, "object store: versitygw or minio (make cluster S3=minio builds it)")
	flags.IntVar(&own.Replicas, "replicas", own.Replicas, "processes of each service")
	flags.IntVar(&own.Workers, "workers", own.Workers, "workers")
	flags.IntVar(&own.Slots, "slots", own.Slots, "builds at once on each worker")
	flags.StringVar(&own.Fake, "fake", own.Fake, "what the fake builds are like")
	flags.BoolVar(&own.Isolate, "isolate", own.Isolate, "give each process a network of its own (Linux, root), so that it can be cut off")
	flags.BoolVar(&own.TLS, "tls", own.TLS, "encrypt every connection")
	flags.IntVar(&plan.Builds, "builds", plan.Builds, "builds to submit")
	flags.IntVar(&plan.Clients, "clients", plan.Clients, "clients that submit at once")
	flags.DurationVar(&plan.For, "for", plan.For, "how long builds are submitted and faults made")
	flags.IntVar(&plan.Faults, "faults", plan.Faults, "faults at most")
	flags.Float64Var(&plan.Cancelled, "cancelled", plan.Cancelled, "share of builds that are cancelled")
	flags.Uint64Var(&plan.Seed, "seed", uint64(time.Now().UnixNano()), "draws the faults")
	flags.DurationVar(&plan.Settle, "settle", plan.Settle, "how long builds may take to end after the last fault")
	flags.BoolVar(&forget, "forget", false, "remove the directory, whatever was found")
	script := flags.String("script", "", "faults to make one after the other instead of drawn ones: kind:on:duration,... such as kill:nats-leader:2s")
	if err := flags.Parse(args); err != nil {
		return plan, forget, err
	}
	plan.Script, err = chaos.ParseScript(*script)
	return plan, forget, err
}

func freshDir(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "freeagent-chaos-"); err != nil {
			return "", err
		}
	}
	// PostgreSQL runs as another user when we are root, and must get to its own.
	return dir, errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711))
}

func save(path string, report chaos.Report) error {
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// show prints what people want to know.
func show(w io.Writer, r chaos.Report) {
	fmt.Fprintf(w, "seed %d, %s\n%d submits, %d acknowledged, %d builds, %d attempts: %v\n%.1f submits/s, %.1f builds/s\n\n",
		r.Seed, r.Took.Round(time.Second), r.Submits, r.Acknowledged, r.Builds, r.Attempts, r.Ends, r.SubmitsPerSecond, r.BuildsPerSecond)
	showFaults(w, r.Faults)
	for _, c := range r.Calls {
		if c.Error != "" && !c.Refused {
			fmt.Fprintf(w, "not acknowledged: %s of %s after %s: %s\n", c.Kind, c.Begin.Format(time.TimeOnly), c.End.Sub(c.Begin).Round(time.Millisecond), c.Error)
		}
	}
	fmt.Fprintf(w, "\n%d faults, %d broken promises; the longest that a build waited after a lost attempt: %s\n",
		len(r.Faults), len(r.Violations), r.Recovery.Round(time.Millisecond))
	for _, v := range r.Violations {
		fmt.Fprintln(w, " ", v)
	}
	if len(r.EndedByThemselves) > 0 {
		fmt.Fprintln(w, "exited unexpectedly and were started again:", r.EndedByThemselves)
	}
}

// showFaults sums up by what was struck and how.
func showFaults(w io.Writer, faults []chaos.Fault) {
	type row struct {
		n                  int
		unanswered, submit time.Duration
	}
	rows := map[string]row{}
	for _, f := range faults {
		key := kindOf(f.On) + "\t" + f.Kind
		rows[key] = row{rows[key].n + 1, max(rows[key].unanswered, f.Unanswered), max(rows[key].submit, f.Submit)}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\tfault\ttimes\tlongest without an answer\tlongest submit")
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		const digit = 100 * time.Millisecond
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", key, rows[key].n, rows[key].unanswered.Round(digit), rows[key].submit.Round(digit))
	}
	_ = t.Flush() // standard output
}

// kindOf takes the number off a process's name, such as worker-3.
func kindOf(name string) string {
	if i := strings.LastIndex(name, "-"); i > 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		return name[:i]
	}
	return name
}
