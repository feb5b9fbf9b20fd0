package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/settings"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Program is a service as a process. S is the struct of its settings, as package settings reads it.
type Program[S any] struct {
	// Name of the command.
	Name string
	// About is what -h begins with.
	About string
	// Defaults hold for variables that are not set.
	Defaults S
	// Check names every fault of settings that could be read, beside those that could not; nil checks nothing. It must accept
	// empty ones.
	Check func(S) error
	// Run serves until ctx ends and returns nil then.
	Run func(ctx context.Context, s S, log *slog.Logger) error
}

// everything is a program's own settings and those that all have.
type everything[S any] struct {
	Own S
	Log observe.Settings
}

// Main runs the program until ctx ends. It returns nil after a clean stop; otherwise the exit code is 1.
func (p Program[S]) Main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	all := everything[S]{Own: p.Defaults, Log: observe.Settings{LogSettings: observe.LogSettings{Format: "json", Level: "info"}}}
	set := settings.New(p.Name, &all, nil)
	line, err := p.parse(args, set, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if line.version {
		_, err := fmt.Fprintln(stdout, version.Version)
		return err
	}
	if line.probe != "" {
		return probe(ctx, line.probe)
	}
	faults := []error{set.Load(environ), all.Log.Check()}
	if p.Check != nil {
		faults = append(faults, p.Check(all.Own))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	log, err := all.Log.Logger(stderr)
	if err != nil {
		return err
	}
	set.LogWarnings(ctx, log)
	if line.check {
		_, err := fmt.Fprintln(stdout, settings.OK)
		return err
	}
	if all.Log.Debug == "" {
		return p.Run(ctx, all.Own, log)
	}
	return p.profiled(ctx, all, log)
}

// profiled runs with the profiles beside it.
func (p Program[S]) profiled(ctx context.Context, all everything[S], log *slog.Logger) error {
	l, err := observe.ListenProfiles(ctx, all.Log.Debug)
	if err != nil {
		return err
	}
	group := lifecycle.New(log)
	group.Go("profiles", func(ctx context.Context) error { return httpx.Run(ctx, l, observe.Profiles(), log) })
	group.Go(p.Name, func(ctx context.Context) error { return p.Run(ctx, all.Own, log) })
	return group.Run(ctx)
}

// commandLine is what was asked for there besides settings.
type commandLine struct {
	probe          string
	check, version bool
}

func (p Program[S]) parse(args []string, set *settings.Set, stderr io.Writer) (line commandLine, err error) {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.BoolVar(&line.version, "version", false, "")
	flags.BoolVar(&line.check, "check-config", false, "")
	flags.StringVar(&line.probe, "probe", "", "")
	var switches []string
	for _, f := range set.Flags() {
		flags.Var(f, f.Name, f.Help)
		if f.IsBoolFlag() {
			switches = append(switches, "--"+f.Name, "-"+f.Name)
		}
	}
	err = flags.Parse(joinValues(args, switches))
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stderr, "Usage: %s [--config FILE] [--check-config] [--SETTING VALUE ...]\n\n%s\n\n%s%s\n%s",
			p.Name, p.About, settings.Sources, processHelp, set.Usage())
		return line, flag.ErrHelp
	case err != nil:
		return line, fmt.Errorf("command line: %w; list the settings with %s -h", err, p.Name)
	case flags.NArg() > 0:
		return line, fmt.Errorf("command line: unexpected argument %q; list the settings with %s -h", flags.Arg(0), p.Name)
	}
	return line, nil
}

const processHelp = `--probe URL asks a running process, such as http://127.0.0.1:3001/readyz; the exit code is 0 if it answers 200. -version prints
the version.
`

// joinValues writes "--switch false", which package flag reads as a switch and an argument, as "--switch=false".
func joinValues(args, switches []string) (joined []string) {
	for i := 0; i < len(args); i++ {
		if i+1 < len(args) && slices.Contains(switches, args[i]) && (args[i+1] == "true" || args[i+1] == "false") {
			joined = append(joined, args[i]+"="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}
