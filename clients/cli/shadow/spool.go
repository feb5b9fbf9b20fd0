package shadow

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"
)

const (
	// spoolMemory is the size up to which a body stays in memory. Larger ones go to a file.
	spoolMemory = 64 << 10
)

// diskQuota bounds the size of all spools together, in bytes.
type diskQuota struct {
	limit int64
	held  atomic.Int64
}

func (d *diskQuota) reserve(n int64) bool {
	if d.held.Add(n) > d.limit {
		d.held.Add(-n)
		return false
	}
	return true
}

// spool stores what is written to it. Above its limit it discards everything and records why.
// Writes never fail.
type spool struct {
	quota *diskQuota
	limit int64
	mem   bytes.Buffer
	file  *os.File
	size  int64
	// why is the reason why the content was discarded, "" if it was not.
	why string
}

func (s *spool) Write(p []byte) (int, error) {
	n := int64(len(p))
	switch {
	case s.why != "":
	case s.size+n > s.limit:
		s.discard("body larger than --max-body")
	case !s.quota.reserve(n):
		s.discard("spool full")
	default:
		s.size += n
		if err := s.store(p); err != nil {
			s.discard("spool not writable")
		}
	}
	return len(p), nil
}

func (s *spool) store(p []byte) error {
	if s.file == nil && s.mem.Len()+len(p) <= spoolMemory {
		s.mem.Write(p)
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "freeagent-shadow-*")
		if err != nil {
			return err
		}
		s.file = f
		_ = os.Remove(f.Name()) // a crash leaves nothing; where that is not allowed, close removes it
		if _, err := s.mem.WriteTo(f); err != nil {
			return err
		}
		s.mem = bytes.Buffer{}
	}
	_, err := s.file.Write(p)
	return err
}

func (s *spool) discard(why string) {
	s.close()
	s.why = why
}

// close releases memory and file.
func (s *spool) close() {
	s.quota.held.Add(-s.size)
	s.size, s.mem = 0, bytes.Buffer{}
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
}

func (s *spool) reader() io.Reader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.mem.Bytes())
}
