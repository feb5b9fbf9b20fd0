package legacyimport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacydb"
	legacyapi "github.com/expo-free-agent/freeagent/shared/api/legacy"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// prepareLog packs the log of a build that ended, as the server keeps logs; that of a build that continues here comes with it.
func (r *run) prepareLog(ctx context.Context, i *item) error {
	if !i.row.Ended() {
		return r.openLog(ctx, i)
	}
	s := &spool{dir: r.TempDir, hash: sha256.New(), idle: r.check}
	w, err := logarchive.NewWriter(s)
	if err != nil {
		return err
	}
	err = r.from.Lines(ctx, i.row.ID, func(l legacydb.Line) error {
		i.notice(l)
		r.lines++
		r.report.Of(Lines).Bytes += int64(len(l.Message))
		return w.Write(logarchive.Line{AtMs: l.At, Level: levelOf(l.Level), Attempt: 1, Text: text.Clean(l.Message)})
	})
	if err == nil && i.lines > 0 {
		_, err = w.Close()
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	if i.lines == 0 {
		return s.close()
	}
	i.to.LogSum, i.to.LogSize, i.to.LogLines = hex.EncodeToString(s.hash.Sum(nil)), s.size, i.lines
	i.files = append(i.files, &file{
		File:   legacyapi.File{BuildID: i.row.ID, Kind: "log", Name: "log.zst", Size: s.size, SHA256: i.to.LogSum, Lines: i.lines},
		counts: Lines, things: i.lines, open: s.open, drop: func() { _ = s.close() },
	})
	return nil
}

// openLog reads the log of a build that continues here.
func (r *run) openLog(ctx context.Context, i *item) error {
	size, left := 0, int64(0)
	err := r.from.Lines(ctx, i.row.ID, func(l legacydb.Line) error {
		i.notice(l)
		r.lines++
		r.report.Of(Lines).Bytes += int64(len(l.Message))
		message := text.Clean(l.Message)
		if size += len(message) + 60; size > maxOpenLog { // with what JSON and protobuf add
			left++
			return nil
		}
		i.to.Log = append(i.to.Log, legacyapi.Line{At: l.At, Level: levelOf(l.Level), Message: message})
		return nil
	})
	r.report.leave(Lines, i.row.ID, fmt.Sprintf("its build continues here, and only %d KB of its earlier log are kept", maxOpenLog>>10), left)
	return err
}

// spoolMemory is how much of a packed log is held in memory.
const spoolMemory = 256 << 10

// spool holds a packed log until it has gone up.
type spool struct {
	dir  string
	hash hash.Hash
	size int64
	// idle only hashes.
	idle bool
	mem  bytes.Buffer
	file *os.File
}

func (s *spool) Write(p []byte) (int, error) {
	s.hash.Write(p)
	s.size += int64(len(p))
	switch {
	case s.idle:
		return len(p), nil
	case s.file == nil && s.mem.Len()+len(p) <= spoolMemory:
		return s.mem.Write(p)
	case s.file == nil:
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.Write(p)
	if err != nil {
		err = fmt.Errorf("write a log down: %w", err)
	}
	return n, err
}

// spill continues in a file, which has no name any more where the system allows that: a crash leaves nothing.
func (s *spool) spill() (err error) {
	if s.file, err = os.CreateTemp(s.dir, "freeagent-import-*"); err != nil {
		return fmt.Errorf("make a temporary file for a long log: %w", err)
	}
	_ = os.Remove(s.file.Name())
	if _, err = s.mem.WriteTo(s.file); err != nil {
		return fmt.Errorf("write a log down: %w", err)
	}
	s.mem = bytes.Buffer{}
	return nil
}

func (s *spool) open() (io.ReadCloser, error) {
	if s.file == nil {
		return io.NopCloser(bytes.NewReader(s.mem.Bytes())), nil
	}
	return io.NopCloser(io.NewSectionReader(s.file, 0, s.size)), nil
}

func (s *spool) close() error {
	s.mem = bytes.Buffer{}
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	_ = os.Remove(f.Name()) // where it could not be removed while it was open
	return f.Close()
}
