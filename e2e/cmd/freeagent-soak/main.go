// Command freeagent-soak has a standalone server work for long, and says whether it grew. Exit code 1: it did, or lost a build.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/expo-free-agent/freeagent/e2e/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "freeagent-soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	plan, to, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := plan.Dir != ""
	if plan.Dir, err = directory(plan.Dir); err != nil {
		return err
	}
	report, err := soak.Run(ctx, plan)
	if err != nil {
		return fmt.Errorf("%w (logs in %s)", err, plan.Dir)
	}
	to = cmp.Or(to, filepath.Join(plan.Dir, "report.json"))
	data, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("save the report: %w", err)
	}
	show(os.Stdout, report)
	if n := len(report.Broken); n > 0 {
		return fmt.Errorf("%d promises were broken; report: %s, logs and profiles of the heap: %s", n, to, plan.Dir)
	}
	if keep {
		return nil
	}
	return os.RemoveAll(plan.Dir)
}

func parse(args []string) (plan soak.Plan, report string, err error) {
	plan = soak.DefaultPlan()
	plan.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	flags := flag.NewFlagSet("freeagent-soak", flag.ContinueOnError)
	flags.StringVar(&plan.Binary, "bin", "dist/freeagent", "the program")
	flags.StringVar(&plan.Dir, "dir", "", "directory of data, logs and profiles; empty: a temporary one, which is kept if a promise was broken")
	flags.StringVar(&report, "report", "", "file for the report as JSON; empty: report.json in the directory, which must be named to be kept")
	flags.DurationVar(&plan.For, "for", plan.For, "how long")
	flags.DurationVar(&plan.Every, "every", plan.Every, "how often the server's process is looked at")
	flags.IntVar(&plan.Workers, "workers", plan.Workers, "worker processes with the fake executor")
	flags.IntVar(&plan.Slots, "slots", plan.Slots, "builds at once on each")
	flags.StringVar(&plan.Fake, "fake", plan.Fake, "what their builds are like")
	flags.DurationVar(&plan.Pause, "pause", plan.Pause, "between two submits for them")
	flags.IntVar(&plan.Former, "former", plan.Former, "workers of API v1")
	flags.DurationVar(&plan.Hold, "hold", plan.Hold, "how long each of those holds a build")
	flags.DurationVar(&plan.Post, "post", plan.Post, "between two samples of theirs, each with ten lines of log")
	flags.IntVar(&plan.Tails, "tails", plan.Tails, "logs followed at once")
	flags.DurationVar(&plan.Stay, "stay", plan.Stay, "how long each at most")
	if err := flags.Parse(args); err != nil {
		return plan, report, err
	}
	for _, path := range []*string{&plan.Binary, &report} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return plan, report, err
		}
	}
	return plan, report, nil
}

func directory(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "freeagent-soak-")
	}
	dir, err := filepath.Abs(dir)
	return dir, errors.Join(err, os.MkdirAll(dir, 0o700))
}

// show prints what people want to know.
func show(w io.Writer, r soak.Report) {
	minutes := r.For.Minutes()
	fmt.Fprintf(w, "%s: %d builds (%.1f a second), %d posts of API v1, %d tails with %d lines, %d webhook deliveries; %.2f of a core\n\n",
		r.For.Round(time.Second), r.Submits, float64(r.Submits)/minutes/60, r.Posts, r.Tails, r.Lines, r.Deliveries, r.Cores)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tfirst third\tsecond\tlast\tbound\tmost\t\t")
	for _, m := range r.Measures {
		verdict := "flat"
		if !m.Flat {
			verdict = "GREW"
		}
		fmt.Fprintf(t, "%s %s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t\n", m.Name, m.Unit, m.First, m.Second, m.Third, m.Bound, m.Most, verdict)
	}
	_ = t.Flush()
	for _, b := range r.Broken {
		fmt.Fprintln(w, "BROKEN:", b)
	}
}
