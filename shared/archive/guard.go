package archive

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
)

// Summary counts what an archive holds.
type Summary struct {
	Format  Format
	Entries int   // Files + Directories + Links
	Files   int   //
	Dirs    int   // as named by entries; implied ones are not counted
	Links   int   // symbolic and hard
	Bytes   int64 // unpacked: declared for Inspect, written for Unpack
}

// guard holds an archive to its limits, entry by entry.
type guard struct {
	limits  Limits
	summary Summary
	packed  func() int64 // bytes of the archive so far, for the ratio

	// Hashes of the names, to find duplicates in 500,000 entries without
	// keeping them. The seed is random: nobody can aim for a collision.
	seed maphash.Seed
	seen map[uint64]kind
}

func newGuard(format Format, limits Limits, packed func() int64) *guard {
	return &guard{
		limits:  limits.withDefaults(),
		summary: Summary{Format: format},
		packed:  packed,
		seed:    maphash.MakeSeed(),
		seen:    make(map[uint64]kind),
	}
}

// admit checks an entry's header, counts it and fills in its clean name.
func (g *guard) admit(e *entry) error {
	if g.summary.Entries++; exceeds(g.summary.Entries, g.limits.Entries) {
		return fmt.Errorf("%w: more than %d entries", ErrTooLarge, g.limits.Entries)
	}
	name, err := cleanName(e.raw, g.summary.Format)
	if err != nil {
		return err
	}
	if name == "." && e.kind != directory {
		return unsafe(e.raw, "the name is the archive's root")
	}
	e.name = name
	if err := g.unique(*e); err != nil {
		return err
	}
	return g.count(*e)
}

func (g *guard) unique(e entry) error {
	h := maphash.String(g.seed, e.name)
	before, dup := g.seen[h]
	if dup && !(before == directory && e.kind == directory) {
		return unsafe(e.raw, "the name occurs twice")
	}
	g.seen[h] = e.kind
	return nil
}

func (g *guard) count(e entry) error {
	switch e.kind {
	case file:
		g.summary.Files++
		return g.fits(e)
	case directory:
		g.summary.Dirs++
		return nil
	case symlink, hardlink:
		g.summary.Links++
		return g.checkLink(e)
	}
	return unsafe(e.raw, "it is neither a file nor a directory nor a link")
}

func (g *guard) checkLink(e entry) error {
	if e.kind == hardlink {
		return g.checkHardLink(e)
	}
	if e.target == "" {
		return nil // a zip's; its reader calls checkTarget
	}
	return checkTarget(e)
}

func (g *guard) checkHardLink(e entry) error {
	target, err := cleanName(e.target, g.summary.Format)
	if err != nil {
		return err
	}
	k, ok := g.seen[maphash.String(g.seed, target)]
	if !ok || target == e.name || (k != file && k != hardlink) {
		return unsafe(e.raw, "the hard link names no file of the archive")
	}
	return nil
}

// fits refuses a file whose declared size alone breaks a limit.
func (g *guard) fits(e entry) error {
	if e.size < 0 || exceeds(e.size, g.limits.EntryBytes) {
		return fmt.Errorf("%w: entry %s has %d bytes, the limit is %d", ErrTooLarge, quote(e.raw), e.size, g.limits.EntryBytes)
	}
	if exceeds(e.size, g.remaining()) {
		return g.tooMuch()
	}
	return nil
}

// remaining is how many bytes may still be unpacked; negative is no limit.
func (g *guard) remaining() int64 {
	if g.limits.TotalBytes < 0 {
		return -1
	}
	return g.limits.TotalBytes - g.summary.Bytes
}

func (g *guard) tooMuch() error {
	return fmt.Errorf("%w: it unpacks to more than %d bytes", ErrTooLarge, g.limits.TotalBytes)
}

// grow counts n unpacked bytes.
func (g *guard) grow(n int64) error {
	if exceeds(n, g.remaining()) {
		return g.tooMuch()
	}
	g.summary.Bytes += n
	return g.checkRatio(g.summary.Bytes)
}

func (g *guard) checkRatio(unpacked int64) error {
	if g.limits.Ratio < 0 || !exceeds(unpacked, g.limits.RatioFloor) {
		return nil
	}
	if unpacked/g.limits.Ratio > g.packed() {
		return fmt.Errorf("%w: it unpacks to more than %d times its size", ErrTooLarge, g.limits.Ratio)
	}
	return nil
}

// contextReader ends reading when ctx does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
	n   int64
}

func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
