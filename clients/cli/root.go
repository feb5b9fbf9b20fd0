package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/expo-free-agent/freeagent/clients/cli/cancel"
	"github.com/expo-free-agent/freeagent/clients/cli/config"
	"github.com/expo-free-agent/freeagent/clients/cli/download"
	"github.com/expo-free-agent/freeagent/clients/cli/env"
	"github.com/expo-free-agent/freeagent/clients/cli/inspect"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/clients/cli/list"
	"github.com/expo-free-agent/freeagent/clients/cli/logs"
	"github.com/expo-free-agent/freeagent/clients/cli/pin"
	"github.com/expo-free-agent/freeagent/clients/cli/retention"
	"github.com/expo-free-agent/freeagent/clients/cli/retry"
	"github.com/expo-free-agent/freeagent/clients/cli/rules"
	"github.com/expo-free-agent/freeagent/clients/cli/shadow"
	"github.com/expo-free-agent/freeagent/clients/cli/stats"
	"github.com/expo-free-agent/freeagent/clients/cli/status"
	"github.com/expo-free-agent/freeagent/clients/cli/submit"
	"github.com/expo-free-agent/freeagent/clients/cli/version"
	"github.com/expo-free-agent/freeagent/clients/cli/webhooks"
	"github.com/expo-free-agent/freeagent/clients/cli/workers"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// NewRoot returns the command with the client's subcommands and more, those of the binary that
// mounts it. out and errs are the streams.
func NewRoot(out, errs io.Writer, getenv func(string) string, more ...*cobra.Command) *cobra.Command {
	s := NewStreams(out, errs, getenv)
	root := &cobra.Command{
		Use:   "freeagent",
		Short: "A build farm for Expo and React Native apps on machines you own",
		Long: `A build farm for Expo and React Native apps on machines you own.

Exit codes: 0 success, 1 error, 2 wrong usage, 3 build failed, 4 build cancelled, 130 interrupted.`,
		Example: `  freeagent up --with-worker                          # a server and a worker on this machine
  freeagent build --platform android --wait           # build the app in this directory
  freeagent download BUILD                            # download the result`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return session.Usage("%w\nSee: %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(submit.NewBuild(s), submit.New(s), inspect.New(s), status.New(s), logs.New(s), download.New(s), list.New(s), cancel.New(s), retry.New(s), workers.New(s), stats.New(s), rules.New(s), webhooks.New(s),
		retention.New(s), pin.New(s), pin.NewUnpin(s), config.New(s), env.New(s),
		shadow.New(s), version.New(s))
	root.AddCommand(more...)
	return root
}

// Streams is the environment of a command, for subcommands of other modules.
type Streams = session.IO

// Connection is the connection flags.
type Connection = session.Flags

// NewStreams detects which streams are terminals.
func NewStreams(out, errs io.Writer, getenv func(string) string) Streams {
	return Streams{
		In: os.Stdin, Out: out, Err: errs, InTTY: term.IsTerminal(int(os.Stdin.Fd())), OutTTY: isTerminal(out), ErrTTY: isTerminal(errs),
		Getenv: getenv, Now: time.Now,
	}
}

// Usage is a mistake in how a command was called.
func Usage(format string, args ...any) error { return session.Usage(format, args...) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Execute runs the command, prints its error and returns the exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return session.ExitOK
	}
	var exit *session.ExitError
	if errors.As(err, &exit) {
		if exit.Err != nil {
			fmt.Fprintln(root.ErrOrStderr(), "freeagent:", show.Lines(err.Error()))
		}
		return exit.Code
	}
	fmt.Fprintln(root.ErrOrStderr(), "freeagent:", show.Lines(err.Error()))
	if isUsageError(err) {
		return session.ExitUsage
	}
	return session.ExitFailure
}

// isUsageError reports whether the call was wrong: arguments that the server or a local check
// rejects, invalid URLs, errors with the method WrongUsage of other modules, and cobra's errors,
// which have no type.
func isUsageError(err error) bool {
	var wrong interface{ WrongUsage() bool }
	if errors.Is(err, build.ErrInvalid) || errors.Is(err, api.ErrBaseURL) || errors.As(err, &wrong) && wrong.WrongUsage() {
		return true
	}
	for _, sign := range []string{"unknown command", "unknown flag", "accepts ", "requires "} {
		if strings.HasPrefix(err.Error(), sign) {
			return true
		}
	}
	return false
}
