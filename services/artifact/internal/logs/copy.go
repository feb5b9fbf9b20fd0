package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	logarchive "github.com/expo-free-agent/freeagent/shared/buildlog/archive"
	logstream "github.com/expo-free-agent/freeagent/shared/buildlog/stream"
	"github.com/expo-free-agent/freeagent/shared/bus"
)

// copyNew archives what the stream has beyond the present archive, and returns false if there is nothing. The new archive contains
// the frames of the present one, so that a build has one object whatever came late. What is no line of the log (repeats, lines of a
// worker that did not hold the build) is skipped; through is the last message in the stream that was read.
func (a *Archivist) copyNew(ctx context.Context, l store.Log) (copied bool, through uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	after, err := a.after(ctx, l)
	if err != nil {
		return false, 0, err
	}
	tail, err := logstream.Open(ctx, a.js, a.authors, l.BuildID, after)
	if err != nil {
		return false, 0, err
	}
	defer tail.Close(ctx)
	if tail.Pending() == 0 {
		return false, l.ThroughSeq, nil
	}
	o, err := a.stageLog(ctx, l.BuildID)
	if err != nil {
		return false, 0, err
	}
	c := &logCopy{a: a, old: l, tail: tail}
	if err := c.store(ctx, o); err != nil {
		return false, 0, err
	}
	if c.nothingNew() {
		return false, c.through, nil
	}
	return true, c.through, a.save(ctx, l, o, c)
}

// after returns the last message of the stream that the archive holds; 0 if the stream is younger than the archive.
func (a *Archivist) after(ctx context.Context, l store.Log) (uint64, error) {
	stream, err := a.js.Stream(ctx, bus.LogsStream)
	if err != nil {
		return 0, fmt.Errorf("%w: open the logs: %w", build.ErrUnavailable, err)
	}
	if l.ThroughSeq > stream.CachedInfo().State.LastSeq {
		return 0, nil
	}
	return l.ThroughSeq, nil
}

func (a *Archivist) stageLog(ctx context.Context, id string) (store.Object, error) {
	b, err := a.build(ctx, id)
	if err != nil && !errors.Is(err, build.ErrNotFound) {
		return store.Object{}, err
	}
	return a.catalog.Stage(ctx, store.Object{
		BuildID: id, Kind: int32(artifactv1.Kind_KIND_LOG), Project: b.GetProject(), Name: id + ".log.zst",
	})
}

// save makes the object the build's log. If another replica was faster, the object expires.
func (a *Archivist) save(ctx context.Context, l store.Log, o store.Object, c *logCopy) error {
	if err := a.cfg.fault("stored"); err != nil {
		return err
	}
	now := time.Now()
	saved := l
	saved.ObjectID, saved.Lines, saved.ThroughSeq, saved.ArchivedAt = o.ID, c.info.Lines, c.through, now
	saved.DueAt = now.Add(a.cfg.Grace)
	won, err := a.logs.SaveArchive(ctx, l.ObjectID, saved, now.Add(a.catalog.StagedTTL))
	if err != nil || !won {
		return err
	}
	a.log.InfoContext(ctx, "log archived", "build_id", l.BuildID, "object_id", o.ID, "lines", c.info.Lines, "bytes", c.info.Bytes)
	return a.cfg.fault("saved")
}

// logCopy is one archive in the making.
type logCopy struct {
	a       *Archivist
	old     store.Log
	tail    *logstream.Tail
	through uint64
	info    logarchive.Info
}

// nothingNew reports whether the copy equals the present archive.
func (c *logCopy) nothingNew() bool {
	return c.old.ObjectID != "" && c.info.Lines == c.old.Lines || c.info.Lines == 0
}

// store streams the archive into the object store. After an error, or if there is nothing new, it leaves nothing there.
func (c *logCopy) store(ctx context.Context, o store.Object) error {
	cat := c.a.catalog
	claim, err := cat.Space.Claim(0)
	if err != nil {
		return errors.Join(err, cat.Rows.GiveUp(context.WithoutCancel(ctx), o.ID, false))
	}
	defer claim.Release()
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.CloseWithError(c.write(ctx, w)) // nil is io.EOF to the reader
	}()
	key, content, err := c.put(ctx, catalog.NewKey(o), claimReader{r, claim})
	_ = r.CloseWithError(io.ErrClosedPipe) // the writer stops if the store did
	<-ended
	if err == nil && c.nothingNew() {
		return cat.Undo(ctx, o, key, false, false)
	}
	if err == nil {
		err = cat.Commit(ctx, o.ID, key, content)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store the log of %s: %w", c.old.BuildID, err), cat.Undo(ctx, o, key, false, false))
	}
	return nil
}

// put stores the bytes. Most logs are small enough for the table; then the key is empty.
func (c *logCopy) put(ctx context.Context, key string, r io.Reader) (string, store.Content, error) {
	head := make([]byte, api.SmallObject+1)
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		content := catalog.SmallContent(head[:n])
		content.ContentType = logType
		return "", content, nil
	}
	if err != nil {
		return key, store.Content{}, err
	}
	info, err := c.a.catalog.Objects.Put(ctx, key, io.MultiReader(bytes.NewReader(head), r), -1, c.a.catalog.Limits.Of(artifactv1.Kind_KIND_LOG))
	return key, store.Content{Size: info.Size, SHA256: info.SHA256, ContentType: logType}, err
}

const logType = "application/zstd"

// claimReader reports bytes as they pass, so that a full disk ends the copy.
type claimReader struct {
	io.Reader

	claim *catalog.Claim
}

func (r claimReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if e := r.claim.Arrived(int64(n)); e != nil {
		return n, e
	}
	return n, err
}

func (c *logCopy) write(ctx context.Context, to io.Writer) error {
	w, err := logarchive.NewWriter(to)
	if err != nil {
		return err
	}
	numbers, err := c.begin(ctx, w)
	if err != nil {
		return err
	}
	err = c.tail.Backlog(ctx, func(m logstream.Chunk) error {
		c.through = m.Seq
		for _, l := range numbers.Add(m) {
			if err := w.Write(l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.info, err = w.Close(numbers.Marks()...)
	return err
}

// begin copies the old archive.
func (c *logCopy) begin(ctx context.Context, w *logarchive.Writer) (*logstream.Numbering, error) {
	if c.old.ObjectID == "" {
		return logstream.NewNumbering(0, nil), nil
	}
	o, err := c.a.catalog.Readable(ctx, c.old.ObjectID)
	if err != nil {
		return nil, err
	}
	r, err := logarchive.Open(ctx, Source{Catalog: c.a.catalog, Row: o})
	if err != nil {
		return nil, fmt.Errorf("the log of %s: %w", c.old.BuildID, err)
	}
	return logstream.NewNumbering(r.Lines(), r.Marks()), w.Append(ctx, r)
}
