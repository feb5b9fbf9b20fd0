package fake

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Options of the executor. With the zero value builds succeed at once.
type Options struct {
	// Slow is how long each stage takes.
	Slow time.Duration
	// Fail, Hang and Die are the shares of builds, 0 to 1, that exit with code 1, never end, or kill the worker's process.
	Fail, Hang, Die float64
	// Stage is the one in which they do: "install" or "export" (default).
	Stage string
	// Lines of log in each stage; 0 means 3.
	Lines int
	// Size of the result's bundle in bytes; 0 means 4 KiB. With a larger MaxSize each attempt draws a size between the two, evenly on
	// a logarithmic scale.
	Size, MaxSize int64
}

// ErrOption means that --fake is invalid; the text says why.
var ErrOption = errors.New("fake executor")

// Help describes the options for --help.
const Help = `slow=2s (each stage takes that long), fail, hang, die (or a share of builds: fail=0.1),
stage=install|export (where they do so; default export), lines=20 (log lines in each stage), size=1MiB (of the result),
or size=4KiB..20MiB (drawn for each attempt)`

// Limits, so that a typo does not fill the disk.
const (
	maxLines = 1_000_000
	maxSize  = 10 << 30
)

// Parse reads "slow=2s,fail=0.1,lines=20". Empty means the zero value.
func Parse(text string) (o Options, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, given := strings.Cut(part, "=")
		if err := o.set(key, value, given); err != nil {
			return Options{}, fmt.Errorf("%w: %s: %w", ErrOption, part, err)
		}
	}
	if sum := o.Fail + o.Hang + o.Die; sum > 1 {
		return Options{}, fmt.Errorf("%w: fail, hang and die must be at most 1 together (got %g)", ErrOption, sum)
	}
	return o, nil
}

func (o *Options) set(key, value string, given bool) (err error) {
	switch key {
	case "slow":
		if o.Slow, err = time.ParseDuration(value); err == nil && o.Slow < 0 {
			err = errors.New("must not be negative")
		}
	case "fail":
		o.Fail, err = share(value, given)
	case "hang":
		o.Hang, err = share(value, given)
	case "die":
		o.Die, err = share(value, given)
	case "stage":
		if o.Stage = value; value != "install" && value != "export" {
			err = errors.New("must be install or export")
		}
	case "lines":
		o.Lines, err = strconv.Atoi(value)
		if err == nil && (o.Lines < 1 || o.Lines > maxLines) {
			err = fmt.Errorf("must be 1 to %d", maxLines)
		}
	case "size":
		least, most, isRange := strings.Cut(value, "..")
		if o.Size, err = parseSize(least); err == nil && isRange {
			o.MaxSize, err = parseSize(most)
		}
	default:
		err = fmt.Errorf("no such option; there are %s", Help)
	}
	return err
}

// share parses the share of builds; the option without a value means all.
func share(value string, given bool) (float64, error) {
	if !given {
		return 1, nil
	}
	p, err := strconv.ParseFloat(value, 64)
	if err != nil || !(p >= 0 && p <= 1) {
		return 0, errors.New("must be a share of builds from 0 to 1")
	}
	return p, nil
}

func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, factor
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > maxSize/unit {
		return 0, errors.New("must be a size such as 500KiB or 1MiB, at most 10GiB")
	}
	return n * unit, nil
}
