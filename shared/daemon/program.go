package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/lifecycle"
	"github.com/expo-free-agent/freeagent/shared/observe"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// Program is a service as a process. S is its settings: a struct whose fields carry the tags env (the variable's name, as
// package env reads it), help, and for a secret `secret:"true"`; fields that are structs hold settings, too.
type Program[S any] struct {
	// Name of the command.
	Name string
	// About is what -h begins with.
	About string
	// Defaults hold for variables that are not set.
	Defaults S
	// Check names every fault of settings that could be read, beside those that could not; nil checks nothing. It must take
	// empty ones.
	Check func(S) error
	// Run serves until ctx ends and returns nil then.
	Run func(ctx context.Context, s S, log *slog.Logger) error
}

// everything is a program's own settings and those that all have.
type everything[S any] struct {
	Own S
	Log logging
}

type logging struct {
	Format string `env:"FREEAGENT_LOG_FORMAT" help:"json or text"`
	Level  string `env:"FREEAGENT_LOG_LEVEL" help:"debug, info, warn or error"`
	Debug  string `env:"FREEAGENT_DEBUG_LISTEN" help:"address of Go's profiles (pprof), one that only this machine reaches, such as 127.0.0.1:6060 (empty: none)"`
}

// Main is the whole program but for signals, which end ctx: nil after a clean stop, and the exit code is 1 otherwise.
func (p Program[S]) Main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	all := everything[S]{Own: p.Defaults, Log: logging{Format: "json", Level: "info"}}
	line, err := p.parse(args, &all, stderr)
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
	if err := p.settle(line, environ, &all); err != nil {
		return err
	}
	log, err := observe.NewLogger(stderr, all.Log.Format, all.Log.Level)
	if err != nil {
		return err
	}
	if line.check {
		_, err := fmt.Fprintln(stdout, "the configuration is good")
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

// commandLine is what was asked for there.
type commandLine struct {
	vars           map[string]string
	config, probe  string
	check, version bool
}

func (p Program[S]) parse(args []string, all *everything[S], stderr io.Writer) (commandLine, error) {
	line := commandLine{vars: map[string]string{}}
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.BoolVar(&line.version, "version", false, "")
	flags.BoolVar(&line.check, "check-config", false, "")
	flags.StringVar(&line.config, "config", "", "")
	flags.StringVar(&line.probe, "probe", "", "")
	define(flags, settingsOf(all), line.vars)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stderr, usage(p.Name, p.About, all))
		return line, flag.ErrHelp
	case err != nil:
		return line, fmt.Errorf("command line: %w; %s -h lists the settings", err, p.Name)
	case flags.NArg() > 0:
		return line, fmt.Errorf("command line: %q is not known; %s -h says how it is configured", flags.Arg(0), p.Name)
	}
	return line, nil
}

// settle reads the settings from all sources and checks them. Every fault is in the error.
func (p Program[S]) settle(line commandLine, environ []string, all *everything[S]) error {
	from := sources{flags: line.vars, environ: fromEnviron(environ), path: line.config}
	if from.path == "" {
		from.path = from.environ[configVariable]
	}
	var faults []error
	if from.path != "" {
		file, err := readConfig(from.path)
		from.file, faults = file, append(faults, err)
	}
	vars, err := from.gather(settingsOf(all))
	faults = append(faults, err, read(vars, all))
	if p.Check != nil {
		faults = append(faults, p.Check(all.Own))
	}
	if all.Log.Debug != "" {
		faults = append(faults, observe.CheckProfiles(all.Log.Debug))
	}
	_, err = observe.NewLogger(io.Discard, all.Log.Format, all.Log.Level)
	return errors.Join(append(faults, err)...)
}
