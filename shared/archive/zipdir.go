package archive

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// archive/zip loads a directory whole, however many entries a stranger put
// there. So the directory is first read here in a stream, and held to the
// layout that every honest writer makes: it spans exactly from the offset in
// the end record to that record. archive/zip then reads the very same records.

const (
	endLen       = 22
	end64Len     = 56
	locatorLen   = 20
	recordLen    = 46
	maxComment   = 1<<16 - 1
	endMagic     = "PK\x05\x06"
	end64Magic   = "PK\x06\x06"
	locatorMagic = "PK\x06\x07"
	recordMagic  = "PK\x01\x02"
	max16, max32 = 1<<16 - 1, 1<<32 - 1

	encryptedFlag     = 1
	methodStore       = zip.Store
	methodDeflate     = zip.Deflate
	creatorUnix       = 3
	creatorMacOS      = 19
	zip64Extra        = 1
	unixModeShift     = 16
	unixTypeMask      = 0o170000
	unixTypeRegular   = 0o100000
	unixTypeDirectory = 0o040000
	unixTypeSymlink   = 0o120000
)

// zipEnd is where the directory lies and how many entries it should have.
type zipEnd struct{ start, size, entries int64 }

func findZipEnd(r io.ReaderAt, size int64) (zipEnd, error) {
	tail := make([]byte, min(size, endLen+maxComment))
	base := size - int64(len(tail))
	if n, err := r.ReadAt(tail, base); n < len(tail) {
		return zipEnd{}, fmt.Errorf("read zip: %w", err)
	}
	at := strings.LastIndex(string(tail), endMagic)
	if at < 0 || len(tail)-at < endLen {
		return zipEnd{}, fmt.Errorf("%w: the zip's directory is missing", ErrCorrupt)
	}
	b := tail[at:]
	le := binary.LittleEndian
	if int(le.Uint16(b[20:])) != len(b)-endLen {
		return zipEnd{}, fmt.Errorf("%w: bytes after the zip's end", ErrCorrupt)
	}
	end := zipEnd{entries: int64(le.Uint16(b[10:])), size: int64(le.Uint32(b[12:])), start: int64(le.Uint32(b[16:]))}
	limit := base + int64(at)
	if end.entries == max16 || end.size == max32 || end.start == max32 || end.size == max16 {
		return findZip64End(r, end, limit)
	}
	return end, end.check(limit)
}

// findZip64End follows the locator before the end record. Without one the
// plain record stands: 65,535 entries are legal.
func findZip64End(r io.ReaderAt, end zipEnd, limit int64) (zipEnd, error) {
	locator := make([]byte, locatorLen)
	if limit < locatorLen+end64Len {
		return end, end.check(limit)
	}
	if _, err := r.ReadAt(locator, limit-locatorLen); err != nil {
		return zipEnd{}, fmt.Errorf("read zip: %w", err)
	}
	if string(locator[:4]) != locatorMagic {
		return end, end.check(limit)
	}
	le := binary.LittleEndian
	at := int64(le.Uint64(locator[8:]))
	b := make([]byte, end64Len)
	if at < 0 || at > limit-locatorLen-end64Len {
		return zipEnd{}, fmt.Errorf("%w: the zip's directory is out of bounds", ErrCorrupt)
	}
	if _, err := r.ReadAt(b, at); err != nil {
		return zipEnd{}, fmt.Errorf("read zip: %w", err)
	}
	if string(b[:4]) != end64Magic {
		return zipEnd{}, fmt.Errorf("%w: the zip64 end record is missing", ErrCorrupt)
	}
	end = zipEnd{entries: int64(le.Uint64(b[32:])), size: int64(le.Uint64(b[40:])), start: int64(le.Uint64(b[48:]))}
	return end, end.check(at)
}

func (e zipEnd) check(limit int64) error {
	if e.start < 0 || e.size < 0 || e.entries < 0 || e.start > limit || e.size != limit-e.start {
		return fmt.Errorf("%w: the zip's directory is not where its end record says", ErrCorrupt)
	}
	return nil
}

// zipRecord is an entry of the directory and where its data lies.
type zipRecord struct {
	entry

	method       uint16
	packed, data int64 // bytes, and the offset of the local header
}

// inspectZip streams the directory through the guard.
func inspectZip(ctx context.Context, r io.ReaderAt, size int64, limits Limits) (Summary, error) {
	g := newGuard(Zip, limits, func() int64 { return size })
	end, err := findZipEnd(r, size)
	if err != nil {
		return Summary{}, readError(ctx, err)
	}
	l := g.limits
	if exceeds(end.entries, int64(l.Entries)) || (l.Entries >= 0 && end.size > (int64(l.Entries)+1)*directoryBytes) {
		return Summary{}, fmt.Errorf("%w: more than %d entries", ErrTooLarge, l.Entries)
	}
	section := &contextReader{ctx: ctx, r: io.NewSectionReader(r, end.start, end.size)}
	directory := bufio.NewReaderSize(section, copyBuffer)
	for range end.entries {
		record, err := readRecord(directory)
		if err == nil {
			err = g.inspectRecord(r, record)
		}
		if err != nil {
			return Summary{}, readError(ctx, err)
		}
	}
	if _, err := directory.ReadByte(); err != io.EOF {
		return Summary{}, fmt.Errorf("%w: the zip's directory is longer than its entries", ErrCorrupt)
	}
	return g.summary, nil
}

func (g *guard) inspectRecord(r io.ReaderAt, record zipRecord) error {
	if err := g.admit(&record.entry); err != nil {
		return err
	}
	if record.kind != symlink {
		return declared(g, record.entry, nil)
	}
	target, err := record.readTarget(r)
	if err != nil {
		return err
	}
	record.target = target
	return checkTarget(record.entry)
}

func readRecord(r *bufio.Reader) (zipRecord, error) {
	var head [recordLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return zipRecord{}, fmt.Errorf("zip directory: %w", err)
	}
	le := binary.LittleEndian
	if string(head[:4]) != recordMagic {
		return zipRecord{}, fmt.Errorf("%w: the zip's directory has a bad entry", ErrCorrupt)
	}
	nameLen, extraLen, commentLen := int(le.Uint16(head[28:])), int(le.Uint16(head[30:])), int(le.Uint16(head[32:]))
	rest := make([]byte, nameLen+extraLen)
	if _, err := io.ReadFull(r, rest); err != nil {
		return zipRecord{}, fmt.Errorf("zip directory: %w", err)
	}
	if _, err := r.Discard(commentLen); err != nil {
		return zipRecord{}, fmt.Errorf("zip directory: %w", err)
	}
	record := zipRecord{
		entry:  entry{raw: string(rest[:nameLen]), size: int64(le.Uint32(head[24:]))},
		method: le.Uint16(head[10:]),
		packed: int64(le.Uint32(head[20:])),
		data:   int64(le.Uint32(head[42:])),
	}
	record.kind, record.exec = zipKind(head[5], le.Uint32(head[38:]), record.raw)
	record.widen(rest[nameLen:])
	return record, supported(record.raw, record.method, le.Uint16(head[8:]))
}

// widen takes the values that do not fit into 32 bits from the zip64 field.
func (z *zipRecord) widen(extra []byte) {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			return
		}
		if id == zip64Extra {
			field := extra[:n]
			for _, v := range []*int64{&z.size, &z.packed, &z.data} {
				if *v == max32 && len(field) >= 8 {
					*v, field = int64(le.Uint64(field)), field[8:]
				}
			}
		}
		extra = extra[n:]
	}
}

func supported(name string, method, flags uint16) error {
	if flags&encryptedFlag != 0 {
		return unsafe(name, "it is encrypted")
	}
	if method != methodStore && method != methodDeflate {
		return unsafe(name, fmt.Sprintf("its compression method %d is not supported", method))
	}
	return nil
}

// zipKind reads the Unix mode where the creator wrote one; others only have
// files and directories.
func zipKind(creator byte, attributes uint32, name string) (kind, bool) {
	if strings.HasSuffix(name, "/") {
		return directory, false
	}
	if creator != creatorUnix && creator != creatorMacOS {
		return file, false
	}
	mode := attributes >> unixModeShift
	exec := fs.FileMode(mode)&0o111 != 0
	switch mode & unixTypeMask {
	case unixTypeRegular, 0:
		return file, exec
	case unixTypeDirectory:
		return directory, false
	case unixTypeSymlink:
		return symlink, false
	}
	return special, false
}
