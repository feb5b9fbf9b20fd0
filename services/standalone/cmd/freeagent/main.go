// Command freeagent is the whole product in one binary: the client's verbs, the worker, and the standalone server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/clients/worker/command"
	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/handback"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/takeover"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	streams := cli.NewStreams(os.Stdout, os.Stderr, os.Getenv)
	root := cli.NewRoot(os.Stdout, os.Stderr, os.Getenv,
		standalone.NewUp(os.Stdout, os.Stderr, os.Environ()), standalone.NewSecrets(os.Stdout),
		standalone.NewBackup(os.Stdout, os.Getenv),
		command.New(command.IO{Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr}), takeover.New(streams), handback.New(streams))
	return cli.Execute(ctx, root, os.Args[1:])
}
