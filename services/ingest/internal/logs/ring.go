package logs

import "sync"

// entry is a batch of lines and their encoding, which is made once for all followers.
type entry struct {
	lines []Line
	size  int
	once  sync.Once
	sent  []byte
}

func (e *entry) first() int64 { return e.lines[0].Number }
func (e *entry) last() int64  { return e.lines[len(e.lines)-1].Number }

// encoded returns the encoded lines from a line number on.
func (e *entry) encoded(from int64, encode func([]byte, Line) []byte) []byte {
	if from > e.first() {
		var b []byte
		for _, l := range e.lines[from-e.first():] {
			b = encode(b, l)
		}
		return b
	}
	e.once.Do(func() {
		for _, l := range e.lines {
			e.sent = encode(e.sent, l)
		}
	})
	return e.sent
}

// ring holds the newest lines of a log. It is not safe for concurrent use.
type ring struct {
	entries []*entry
	size    int
	// next is the number of the line that comes next.
	next int64
}

// add appends lines and drops the oldest entries beyond the limit in bytes. It always keeps the
// newest entry.
func (r *ring) add(lines []Line, limit int) {
	e := &entry{lines: append([]Line(nil), lines...)}
	for _, l := range lines {
		e.size += 2 * l.Cost() // the lines, and what they are sent as
	}
	r.entries = append(r.entries, e)
	r.size += e.size
	r.next = e.last() + 1
	drop := 0
	for r.size > limit && drop < len(r.entries)-1 {
		r.size -= r.entries[drop].size
		drop++
	}
	if drop > 0 {
		clear(r.entries[:drop])
		r.entries = r.entries[drop:]
	}
}

// forget empties the ring and sets the number of the next line.
func (r *ring) forget(next int64) { r.entries, r.size, r.next = nil, 0, next }

// first returns the number of the oldest line, next if the ring is empty.
func (r *ring) first() int64 {
	if len(r.entries) == 0 {
		return r.next
	}
	return r.entries[0].first()
}

// from returns entries starting with the one that holds the line, up to about so many bytes. The
// line must be in the ring.
func (r *ring) from(line int64, bytes int) []*entry {
	low, high := 0, len(r.entries)
	for low < high { // first entry that ends at or behind the line
		if mid := (low + high) / 2; r.entries[mid].last() < line {
			low = mid + 1
		} else {
			high = mid
		}
	}
	end := low
	for size := 0; end < len(r.entries) && size < bytes; end++ {
		size += r.entries[end].size
	}
	return append([]*entry(nil), r.entries[low:end]...)
}
