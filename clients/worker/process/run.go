//go:build linux || darwin

package process

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// waitDelay bounds the reading after a command has ended: a daemon that it left behind holds the pipe open.
const waitDelay = 500 * time.Millisecond

// Run starts the command in a session of its own, without a terminal, and waits for it. When ctx ends, Run ends the tree, with SIGTERM first and
// SIGKILL after the grace, and returns context.Cause. A status other than 0 is *ExitError; any other error means that the command could not be
// run. The caller ends what the command left running with Kill.
func Run(ctx context.Context, s Spec) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	cmd := exec.Command(s.Argv[0], s.Argv[1:]...) //nolint:noctx // ended by Kill, which ends the whole tree
	cmd.Dir, cmd.Env = s.Dir, slices.Concat(s.Env, []string{Marker + "=" + s.Mark})
	// One pipe for both, so that the lines keep their order.
	cmd.Stdout, cmd.Stderr = s.Output, s.Output
	cmd.WaitDelay = waitDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Argv[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return explain(err)
	case <-ctx.Done():
	}
	// The session's number is that of its first process.
	err := killTree(s.Mark, cmd.Process.Pid, s.Grace)
	<-done //nolint:errcheck // that it was killed is no news
	return errors.Join(context.Cause(ctx), err)
}

func explain(err error) error {
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil // it ended well; only what it left behind still held the pipe
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("wait for the command: %w", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &ExitError{Code: -1, Signal: ws.Signal().String()}
	}
	return &ExitError{Code: exit.ExitCode()}
}
