package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// key is that of the farm under load, which only this machine reaches.
const key = "key-of-the-soaked-farm"

// process is a freeagent command; it ends with SIGTERM when its context does.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error // once done is closed
}

func (p Plan) start(ctx context.Context, name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(p.Dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, p.Binary, args...)
	cmd.Env = append(os.Environ(), "FREEAGENT_API_KEY="+key, "FREEAGENT_WEBHOOK_NETWORKS=127.0.0.0/8")
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, p.Dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	pr := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(pr.done)
		pr.err = errors.Join(cmd.Wait(), log.Close())
	}()
	return pr, nil
}

// ended waits for the end; one that was asked for is none of an error.
func (p *process) ended(ctx context.Context) error {
	<-p.done
	if ctx.Err() != nil && p.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("%s ended: %w", p.log.Name(), errors.Join(p.err, errEnded))
}

var errEnded = errors.New("nobody asked it to")

// server is the farm under load.
type server struct {
	*process
	url, debug string
}

func (p Plan) up(ctx context.Context) (*server, error) {
	debug, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(p.Dir, "ready.json")
	pr, err := p.start(ctx, "server", "up", "--port", "0", "--data-dir", filepath.Join(p.Dir, "data"), "--ready-file", ready, "--debug-listen", debug)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-pr.done:
			return nil, pr.ended(ctx)
		case <-tick.C:
		}
		var said struct{ URL string }
		data, err := os.ReadFile(ready)
		if err == nil && json.Unmarshal(data, &said) == nil && said.URL != "" {
			return &server{process: pr, url: said.URL, debug: debug}, nil
		}
	}
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// worker runs until ctx ends.
func (p Plan) worker(ctx context.Context, s *server, number int) (*process, error) {
	name := fmt.Sprintf("worker-%d", number)
	return p.start(ctx, name, "worker", "--server", s.url, "--name", name, "--state-dir", filepath.Join(p.Dir, name),
		"--platforms", "android", "--slots", fmt.Sprint(p.Slots), "--executor", "fake", "--fake", p.Fake, "--drain-timeout", "10s")
}
