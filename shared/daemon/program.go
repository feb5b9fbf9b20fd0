package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

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
}

// Main is the whole program but for signals, which end ctx: nil after a clean stop, and the exit code is 1 otherwise.
func (p Program[S]) Main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	all := everything[S]{Own: p.Defaults, Log: logging{Format: "json", Level: "info"}}
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, usage(p.Name, p.About, &all)) }
	showVersion := flags.Bool("version", false, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return fmt.Errorf("command line: %w", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("command line: %q is not known; %s -h says how it is configured", flags.Arg(0), p.Name)
	}
	if *showVersion {
		_, err := fmt.Fprintln(stdout, version.Version)
		return err
	}
	err := read(environ, &all)
	if p.Check != nil {
		err = errors.Join(err, p.Check(all.Own))
	}
	log, logErr := observe.NewLogger(stderr, all.Log.Format, all.Log.Level)
	if err := errors.Join(err, logErr); err != nil {
		return err
	}
	return p.Run(ctx, all.Own, log)
}
