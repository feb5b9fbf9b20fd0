// Command freeagent is the whole product in one binary: the client's verbs, the worker, and the standalone server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/services/standalone"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := cli.NewRoot(os.Stdout, os.Stderr, os.Getenv, program{}.commands()...)
	return cli.Execute(ctx, root, os.Args[1:])
}

// program is what this binary adds to the commands of the client.
type program struct{}

// legacyProgram is a program that is built with legacy.go.
type legacyProgram interface {
	legacyCommands(cli.Streams) []*cobra.Command
}

func (p program) commands() []*cobra.Command {
	all := []*cobra.Command{
		standalone.NewUp(os.Stdout, os.Stderr, os.Environ()), standalone.NewSecrets(os.Stdout), standalone.NewBackup(os.Stdout, os.Getenv),
		command.New(command.IO{Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}),
	}
	if l, ok := any(p).(legacyProgram); ok {
		all = append(all, l.legacyCommands(cli.NewStreams(os.Stdout, os.Stderr, os.Getenv))...)
	}
	return all
}
