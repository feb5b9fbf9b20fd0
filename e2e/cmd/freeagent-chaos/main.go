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

func run(ctx context.Context, args []string) error {
	plan, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if plan.Cluster.Dir, err = freshDir(plan.Cluster.Dir); err != nil {
		return err
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
	return os.RemoveAll(plan.Cluster.Dir) //nolint:wrapcheck // names the path
}

func parse(args []string) (plan chaos.Plan, err error) {
	plan.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	// Leases short enough that faults outlast them.
	plan.Cluster.Services = []string{"FREEAGENT_STAGE_TTLS=prepare=6s,install=6s,export=6s,upload=6s", "FREEAGENT_GRACE=1s", "FREEAGENT_WORKER_SILENCE=8s"}
	flags := flag.NewFlagSet("freeagent-chaos", flag.ContinueOnError)
	flags.StringVar(&plan.Cluster.Bin, "bin", ".bin/cluster", "directory of the programs")
	flags.StringVar(&plan.Cluster.Dir, "dir", "", "directory of data, logs and the report; kept if a promise was broken; empty: a temporary one")
	flags.IntVar(&plan.Cluster.Replicas, "replicas", 2, "processes of each service")
	flags.IntVar(&plan.Cluster.Workers, "workers", 4, "workers")
	flags.IntVar(&plan.Cluster.Slots, "slots", 2, "builds at once on each worker")
	flags.StringVar(&plan.Cluster.Fake, "fake", "slow=1s,lines=10", "what the fake builds are like")
	flags.BoolVar(&plan.Cluster.Isolate, "isolate", cluster.CanIsolate(), "give each process a network of its own (Linux, root), so that it can be cut off")
	flags.BoolVar(&plan.Cluster.TLS, "tls", true, "encrypt every connection")
	flags.IntVar(&plan.Builds, "builds", 100, "builds to submit")
	flags.IntVar(&plan.Clients, "clients", 4, "clients that submit at once")
	flags.DurationVar(&plan.For, "for", time.Minute, "how long builds are submitted and faults made")
	flags.IntVar(&plan.Faults, "faults", 1000, "faults at most")
	flags.Float64Var(&plan.Cancelled, "cancelled", 0.1, "share of builds that are cancelled")
	flags.Uint64Var(&plan.Seed, "seed", uint64(time.Now().UnixNano()), "draws the faults") //nolint:gosec // after 1970
	flags.DurationVar(&plan.Settle, "settle", 3*time.Minute, "how long builds may take to end after the last fault")
	return plan, flags.Parse(args) //nolint:wrapcheck // says what
}

func freshDir(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "freeagent-chaos-"); err != nil {
			return "", err //nolint:wrapcheck // says what
		}
	}
	// PostgreSQL runs as another user when we are root, and must get to its own.
	return dir, errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711)) //nolint:gosec // as said
}

func save(path string, report chaos.Report) error {
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err //nolint:wrapcheck // cannot be
	}
	return os.WriteFile(path, data, 0o600) //nolint:wrapcheck // names the path
}

// show prints what people want to know.
func show(w io.Writer, r chaos.Report) {
	fmt.Fprintf(w, "seed %d, %s\n%d submits, %d acknowledged, %d builds, %d attempts: %v\n\n",
		r.Seed, r.Took.Round(time.Second), r.Submits, r.Acknowledged, r.Builds, r.Attempts, r.Ends)
	type row struct {
		n    int
		down time.Duration
	}
	rows := map[string]row{}
	for _, f := range r.Faults {
		key := kindOf(f.Target) + "\t" + f.Kind
		rows[key] = row{rows[key].n + 1, max(rows[key].down, f.Down)}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\tfault\ttimes\tlongest time clients were not served")
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(t, "%s\t%d\t%s\n", key, rows[key].n, rows[key].down.Round(100*time.Millisecond))
	}
	_ = t.Flush() // standard output
	for _, c := range r.Calls {
		if c.Error != "" && !c.Refused {
			fmt.Fprintf(w, "not acknowledged: %s of %s after %s: %s\n", c.Kind, c.Begin.Format(time.TimeOnly), c.End.Sub(c.Begin).Round(time.Millisecond), c.Error)
		}
	}
	fmt.Fprintf(w, "\n%d faults, %d broken promises\n", len(r.Faults), len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintln(w, " ", v)
	}
	if len(r.EndedByThemselves) > 0 {
		fmt.Fprintln(w, "ended by themselves and were started again:", r.EndedByThemselves)
	}
}

// kindOf takes the number off a name.
func kindOf(name string) string {
	for i := range name {
		if name[i] == '-' {
			return name[:i]
		}
	}
	return name
}
