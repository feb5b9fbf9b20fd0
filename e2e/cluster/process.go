package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is one program of the cluster. It keeps its address and its data over restarts. Its methods are safe for concurrent
// use.
type Process struct {
	Name string
	// Kind is what it is: nats, postgres, s3, scheduler, monitor, artifact, ingest or worker.
	Kind string

	argv, env []string
	log       *os.File
	spawn     func(*exec.Cmd) error

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of Wait, once ended is closed
}

// Start runs it again after its end.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...) //nolint:noctx // ours; it ends by signals
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, p.log, p.log
	if err := p.spawn(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
		close(ended)
	}()
	return nil
}

// Use has the next Start run another program with the same arguments: another version of the product.
func (p *Process) Use(program string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, arg := range p.argv {
		if filepath.Base(arg) == filepath.Base(program) && filepath.IsAbs(arg) { // what stands before it enters a namespace
			p.argv = slices.Clone(p.argv)
			p.argv[i] = program
			return
		}
	}
}

// running is called with mu held.
func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Running says whether it has been started and not ended.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// signal goes to the process and all below it: PostgreSQL's are many, each in a group of its own.
func (p *Process) signal(s syscall.Signal) (ended <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return p.ended, nil
	}
	pids := []int{p.cmd.Process.Pid}
	if p.Kind == "postgres" && s != syscall.SIGINT {
		if pids, err = family(pids[0]); err != nil {
			return p.ended, err
		}
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return p.ended, fmt.Errorf("signal %s to %s: %w", s, p.Name, err)
		}
	}
	return p.ended, nil
}

// family is a process and its children.
func family(pid int) ([]int, error) {
	out, err := exec.Command("ps", "-e", "-o", "pid=,ppid=").Output() //nolint:noctx // short
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := []int{pid}
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if n, _ := fmt.Sscan(line, &child, &parent); n == 2 && parent == pid {
			pids = append(pids, child)
		}
	}
	return pids, nil
}

// Pause is SIGSTOP, Resume SIGCONT.
func (p *Process) Pause() error { _, err := p.signal(syscall.SIGSTOP); return err }

// Resume continues a paused process.
func (p *Process) Resume() error { _, err := p.signal(syscall.SIGCONT); return err }

// endTimeout is how long an end may take.
const endTimeout = time.Minute

// Kill is SIGKILL; it returns when the process is gone.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop is SIGTERM, and for PostgreSQL, which would wait for its clients, SIGINT; a process that does not end is killed, which is an
// error, as is a bad exit code.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	s := syscall.SIGTERM
	if p.Kind == "postgres" {
		s = syscall.SIGINT
	}
	if err := p.end(s); err != nil {
		return errors.Join(err, p.Kill())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%s ended with %w", p.Name, p.err)
	}
	return nil
}

func (p *Process) end(s syscall.Signal) error {
	ended, err := p.signal(s)
	if err != nil || ended == nil {
		return err
	}
	t := time.NewTimer(endTimeout)
	defer t.Stop()
	select {
	case <-ended:
		return nil
	case <-t.C:
		return fmt.Errorf("%s does not end within %s of %s", p.Name, endTimeout, s)
	}
}

// spawner starts processes from one thread that lives as long as the cluster, because Linux kills a child with the *thread*
// that started it: so no process outlives us, however we end.
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go s.loop()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.jobs <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) stop() {
	close(s.jobs)
	<-s.done
}
