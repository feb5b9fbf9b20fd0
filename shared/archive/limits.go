package archive

// Limits bound what an archive may unpack to. In each field zero means the
// default and a negative number no limit.
type Limits struct {
	Entries    int   // files, directories and links; default 500,000
	EntryBytes int64 // unpacked bytes of one file; default 10 GiB
	TotalBytes int64 // unpacked bytes of all files; default 20 GiB
	// Ratio bounds unpacked to packed bytes, once more than RatioFloor are
	// unpacked. Sources reach 3 to 20, deflate can express 1,032; default 200.
	Ratio int64
	// RatioFloor is how many bytes any archive may unpack to; default 64 MiB.
	RatioFloor int64
}

// DefaultLimits are what zero fields mean.
func DefaultLimits() Limits {
	return Limits{Entries: 500_000, EntryBytes: 10 << 30, TotalBytes: 20 << 30, Ratio: 200, RatioFloor: 64 << 20}
}

// SourceLimits returns the limits of a project's source. Its size bounds the harm: a database of
// zeros or a sparse file compresses a thousandfold and is no bomb. Only beyond 2 GiB, a tenth of
// what an honest source may have, does the ratio count too.
func SourceLimits() Limits {
	l := DefaultLimits()
	l.RatioFloor = 2 << 30
	return l
}

const (
	// headerBytes is what a tar may spend per entry beside the content: a
	// header block, a padding block, and a long name in blocks of its own.
	headerBytes = 12 << 10
	// directoryBytes is the same for an entry of a zip's directory, on average.
	directoryBytes = 512
	maxName        = 4096 // bytes, Linux' PATH_MAX
	maxElement     = 255  // bytes, NAME_MAX of the usual file systems
	maxTarget      = 4096 // bytes of a symbolic link's target
)

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	l.Entries = orDefault(l.Entries, d.Entries)
	l.EntryBytes = orDefault(l.EntryBytes, d.EntryBytes)
	l.TotalBytes = orDefault(l.TotalBytes, d.TotalBytes)
	l.Ratio = orDefault(l.Ratio, d.Ratio)
	l.RatioFloor = orDefault(l.RatioFloor, d.RatioFloor)
	return l
}

func orDefault[T int | int64](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// exceeds reports n > limit; a negative limit is none.
func exceeds[T int | int64](n, limit T) bool { return limit >= 0 && n > limit }
