package archive

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Mark says how much of one series the archive contains, so that a reader joins what follows the archive without a gap or a
// repeat. The package logstream, which writes and reads marks, decides what a series is: the numbered lines of a worker in one
// attempt, or one message of the control plane. Lines of a worker that does not number them leave no mark.
type Mark struct {
	// Writer is the worker's id, or "_/" and the id of a message of the control plane.
	Writer  string
	Attempt int32
	// Last is the worker's number of the last line in the archive; for a message of the control plane, its number of lines.
	Last int64
}

// frame is one row of the index.
type frame struct {
	offset, size int64 // in the file
	plain        int64 // bytes when decoded
	first, lines int64 // number of its first line, how many
	atMs         int64 // of its first line
}

const (
	// Magic numbers of the format: a skippable frame of our own, and zstd's seekable format.
	indexMagic  = 0x184D2A5D
	seekMagic   = 0x184D2A5E
	footerMagic = 0x8F92EAB1

	indexName    = "FALOG1"
	skipHeader   = 8
	seekEntry    = 8
	footerLength = 9
	// maxFrames bounds what a reader believes: 2^20 frames are 256 GiB of lines.
	maxFrames = 1 << 20
)

// appendIndex writes what follows the frames.
func appendIndex(b []byte, frames []frame, marks []Mark) []byte {
	payload := binary.AppendUvarint([]byte(indexName), uint64(len(frames)))
	for _, f := range frames {
		payload = binary.AppendUvarint(payload, uint64(f.lines))
		payload = binary.AppendVarint(payload, f.atMs)
	}
	payload = binary.AppendUvarint(payload, uint64(len(marks)))
	for _, m := range marks {
		payload = binary.AppendUvarint(payload, uint64(len(m.Writer)))
		payload = append(payload, m.Writer...)
		payload = binary.AppendVarint(payload, int64(m.Attempt))
		payload = binary.AppendUvarint(payload, uint64(m.Last))
	}
	b = appendSkippable(b, indexMagic, payload)
	return appendSkippable(b, seekMagic, seekTable(frames))
}

func appendSkippable(b []byte, magic uint32, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, magic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

func seekTable(frames []frame) []byte {
	b := make([]byte, 0, len(frames)*seekEntry+footerLength)
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(f.size))
		b = binary.LittleEndian.AppendUint32(b, uint32(f.plain))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frames)))
	b = append(b, 0) // no checksums of the table's own: zstd's frames have theirs
	return binary.LittleEndian.AppendUint32(b, footerMagic)
}

// footer returns how many frames a file has, by its last bytes.
func footer(tail []byte) (n int64, err error) {
	if len(tail) < footerLength || binary.LittleEndian.Uint32(tail[len(tail)-4:]) != footerMagic {
		return 0, fmt.Errorf("%w: it has no seek table", ErrCorrupt)
	}
	f := tail[len(tail)-footerLength:]
	n = int64(binary.LittleEndian.Uint32(f))
	if f[4] != 0 || n > maxFrames {
		return 0, fmt.Errorf("%w: its seek table is not one of ours", ErrCorrupt)
	}
	return n, nil
}

func seekLength(n int64) int64 { return skipHeader + n*seekEntry + footerLength }

// parseSeek reads the seek table at the end of tail, and says where the frames end.
func parseSeek(tail []byte, n int64) (frames []frame, end int64) {
	table := tail[int64(len(tail))-seekLength(n)+skipHeader:]
	frames = make([]frame, n)
	for i := range frames {
		size, plain := binary.LittleEndian.Uint32(table[i*seekEntry:]), binary.LittleEndian.Uint32(table[i*seekEntry+4:])
		frames[i] = frame{offset: end, size: int64(size), plain: int64(plain)}
		end += int64(size)
	}
	return frames, end
}

// parseIndex fills in lines and times.
func parseIndex(b []byte, frames []frame) (marks []Mark, lines int64, err error) {
	d := &decoder{b: b}
	d.magic()
	if n := d.uint(); n != uint64(len(frames)) {
		d.fail()
	}
	for i := range frames {
		frames[i].first, frames[i].lines, frames[i].atMs = lines+1, int64(d.uint()&math.MaxInt64), d.int()
		lines += frames[i].lines
		if frames[i].lines > frames[i].plain || frames[i].plain > maxPlain {
			d.fail() // a line takes a byte at the least
		}
	}
	for n := d.uint(); n > 0 && !d.bad; n-- {
		marks = append(marks, Mark{Writer: d.text(), Attempt: int32(d.int()), Last: int64(d.uint() & math.MaxInt64)})
	}
	if d.bad {
		return nil, 0, fmt.Errorf("%w: its index cannot be read", ErrCorrupt)
	}
	return marks, lines, nil
}

// decoder reads the index; after a fault it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) magic() {
	head := d.take(skipHeader)
	if len(head) < skipHeader || binary.LittleEndian.Uint32(head) != indexMagic ||
		uint64(binary.LittleEndian.Uint32(head[4:])) != uint64(len(d.b)) || string(d.take(uint64(len(indexName)))) != indexName {
		d.fail()
	}
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.take(d.uint())) }
