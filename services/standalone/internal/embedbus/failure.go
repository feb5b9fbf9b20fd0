package embedbus

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// failures remembers that the server could not write. nats-server's file store keeps a write error
// until it is opened again, and JetStream stays disabled once the disk was full, so what failed once
// fails until Restart (nats-server 2.15.2).
type failures struct {
	mu   sync.Mutex
	last error
	// mark is the file that remembers a failure beyond this process.
	mark string
}

// ErrStore means that the embedded bus cannot store messages.
var ErrStore = errors.New("the embedded bus cannot store messages")

var failedStore = regexp.MustCompile(`(?:failed to store a msg on stream|JetStream stream) '[^>]*> ([^']*)'(?: critical write error)?: (.*)`)

// note takes an error of the server's log.
func (f *failures) note(text string) {
	var err error
	if m := failedStore.FindStringSubmatch(text); m != nil {
		err = fmt.Errorf("%w: stream %s: %s", ErrStore, m[1], m[2])
	} else if strings.Contains(text, "will be DISABLED") {
		err = fmt.Errorf("%w: %s", ErrStore, text)
	}
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		_ = setMark(f.mark, markFailed) // best effort: this process knows anyway
	}
	f.last = err
}

func (f *failures) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *failures) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = nil
}

// Failed returns ErrStore if the server could not store a message since it was started, and nil
// otherwise. Only Restart mends it.
func (s *Server) Failed() error {
	if err := s.failures.get(); err != nil {
		return err
	}
	if !s.current().JetStreamEnabled() {
		return fmt.Errorf("%w: JetStream is disabled", ErrStore)
	}
	return nil
}

// stopTimeout bounds how long Restart waits for the old server's end.
const stopTimeout = 30 * time.Second

// Restart stops the server and starts it anew on the same directory and address. Clients of this
// process and workers reconnect; what is in memory, the heartbeats, is lost as in any
// restart. After an error nothing runs.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	port := 0
	if a, ok := s.srv.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	ended := make(chan struct{})
	go func() { // it ends with the server, or with the process
		defer close(ended)
		shutDown(s.srv)
	}()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		return fmt.Errorf("the embedded bus did not stop within %s", stopTimeout)
	}
	s.failures.clear()
	if err := rebuild(s.cfg.Dir); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("address of the bus: %w", err)
	}
	srv, err := s.launch(host, port)
	if err != nil {
		return err
	}
	s.srv = srv
	return nil
}

// A server that could not write keeps in its index what it did not write: after its next start it
// would count messages that are nowhere, and readers would wait for them for ever (nats-server 2.15.2).
// Without the index the server reads its blocks, which hold what was written. The mark has one byte,
// which is replaced in place, so that a full disk has room for it.
const (
	markName   = "store-state"
	markSound  = '0'
	markFailed = '1'
)

func setMark(path string, mark byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("note the state of the bus: %w", err)
	}
	_, err = f.WriteAt([]byte{mark}, 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("note the state of the bus: %w", err)
	}
	return nil
}

// rebuildIfFailed has the next server read its blocks if the last one on the directory could not write.
func rebuildIfFailed(dir string) error {
	state, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state of the bus: %w", err)
	}
	if len(state) > 0 && state[0] == markFailed {
		return rebuild(dir)
	}
	return setMark(filepath.Join(dir, markName), markSound)
}

func rebuild(dir string) error {
	indexes, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "index.db"))
	if err != nil {
		return fmt.Errorf("indexes of the bus: %w", err)
	}
	for _, path := range indexes {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an index of the bus: %w", err)
		}
	}
	return setMark(filepath.Join(dir, markName), markSound)
}
