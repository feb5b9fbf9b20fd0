package shadow

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"
)

const (
	// spoolMemory is how much of a body is held in memory; more goes to a file.
	spoolMemory = 64 << 10
)

// depot bounds what all spools hold together, in bytes.
type depot struct {
	limit int64
	held  atomic.Int64
}

func (d *depot) take(n int64) bool {
	if d.held.Add(n) > d.limit {
		d.held.Add(-n)
		return false
	}
	return true
}

// spool keeps what is written to it, until that is too much: then it keeps nothing and says so. Writing to it never fails.
type spool struct {
	depot *depot
	limit int64
	mem   bytes.Buffer
	file  *os.File
	size  int64
	// why it gave up; empty while it has not.
	why string
}

func (s *spool) Write(p []byte) (int, error) {
	n := int64(len(p))
	switch {
	case s.why != "":
	case s.size+n > s.limit:
		s.giveUp("body larger than --max-body")
	case !s.depot.take(n):
		s.giveUp("spool full")
	default:
		s.size += n
		if err := s.keep(p); err != nil {
			s.giveUp("spool not writable")
		}
	}
	return len(p), nil
}

func (s *spool) keep(p []byte) error {
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

func (s *spool) giveUp(why string) {
	s.close()
	s.why = why
}

// close frees what it holds.
func (s *spool) close() {
	s.depot.held.Add(-s.size)
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
