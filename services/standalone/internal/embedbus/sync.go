package embedbus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// syncer makes what the streams of outboxes hold survive a power cut, all of it at once. The server's own way, a sync for each
// message before its acknowledgement, is a sync of the disk for every event of every build; the outbox needs one for every
// batch, before it forgets what it has published.
type syncer struct {
	dirs []string
	mu   sync.Mutex
	// last is when the last round began: what has not changed since is on disk.
	last time.Time
}

// slack covers the coarse clock of file systems.
const slack = time.Second

// Sync returns once every event and log line that was acknowledged before the call is on disk.
func (s *Server) Sync() error { return s.outboxes.sync() }

func newSyncer(storeDir string) *syncer {
	return &syncer{dirs: []string{streamDir(storeDir, bus.EventsStream), streamDir(storeDir, bus.LogsStream)}}
}

func (s *syncer) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	for _, dir := range s.dirs {
		if err := s.all(dir); err != nil {
			return fmt.Errorf("sync %s: %w", filepath.Base(dir), err)
		}
	}
	s.last = began
	return nil
}

// all goes by what changed and not by names: which files there are is the server's business. A file that is gone meanwhile
// was replaced by the server, which syncs what it replaces with. A stream that does not exist yet holds nothing.
func (s *syncer) all(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = s.one(path, d)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func (s *syncer) one(path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if info.ModTime().Before(s.last.Add(-slack)) || !d.IsDir() && !d.Type().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
