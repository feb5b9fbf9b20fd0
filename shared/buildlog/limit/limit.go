package limit

import "fmt"

// Limit of one attempt's log, whichever is reached first. Bytes are those of the lines' text.
type Limit struct {
	// Lines and Bytes are how much is sent; 0 means the default.
	Lines int64 `env:"FREEAGENT_LOG_LIMIT_LINES" help:"line limit of a build's log; of what exceeds it a worker still sends the last 1000 lines"`
	Bytes int64 `env:"FREEAGENT_LOG_LIMIT_MB" unit:"MB" help:"size limit of a build's log in MB; of what exceeds it a worker still sends the last 1000 lines"`
}

// The defaults are more than any honest build prints: the largest logs of iOS builds have some 200,000 lines.
const (
	DefaultLines = 2_000_000
	DefaultBytes = 200 << 20
)

// OrDefault fills in what is 0.
func (l Limit) OrDefault() Limit {
	if l.Lines == 0 {
		l.Lines = DefaultLines
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	return l
}

// Reached is the line that stands where the limit was reached; then says what becomes of those that follow.
func (l Limit) Reached(then string) string {
	return fmt.Sprintf("✂ This log has reached its limit (%s). %s", l, then)
}

// String is for people.
func (l Limit) String() string { return Counted(l.Lines, "line") + " or " + Size(l.Bytes) }

// Counted is a number of things.
func Counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", thousands(n), what)
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// Size is a number of bytes.
func Size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%.4g MB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%.3g kB", float64(bytes)/(1<<10))
	}
	return Counted(bytes, "byte")
}
