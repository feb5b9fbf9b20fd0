package embedbus

import (
	"errors"
	"fmt"
	"net"
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
}

// ErrStore means that the embedded bus cannot store messages.
var ErrStore = errors.New("the embedded bus cannot store messages")

var failedStore = regexp.MustCompile(`failed to store a msg on stream '[^>]*> ([^']*)': (.*)`)

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
	f.last = err
}

func (f *failures) take(reset bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.last
	if reset {
		f.last = nil
	}
	return err
}

// Failed returns ErrStore if the server could not store a message since it was started, and nil
// otherwise. Only Restart mends it.
func (s *Server) Failed() error {
	if err := s.failures.take(false); err != nil {
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
// process and workers reconnect by themselves; what is in memory, the heartbeats, is lost as in any
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
	s.failures.take(true)
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
