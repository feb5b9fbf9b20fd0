package failure

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Finder reads the output of one stage. It keeps at most a hit for each rule and the last lines. It is
// not safe for concurrent use.
type Finder struct {
	// dirs are the names of the project's directory, which are removed from paths.
	dirs  []string
	rules *ruleSet
	// lines counts the lines so far.
	lines int64
	hits  map[*rule]*hit
	// open are the hits that still read lines.
	open []*hit
	// found is scratch space of Line.
	found []*rule
	// last is a ring, whose oldest line is at next once it is full.
	last      []string
	next      int
	lastError string
}

// hit is a match of a rule.
type hit struct {
	rule   *rule
	groups map[string]string
	// line is the number of the first line that matched, seen that of the last.
	line, seen int64
	// left is how many lines may still follow, repeats how many lines had the rule's literal since.
	left, repeats int
}

const (
	// maxText bounds what is looked at of a line, in bytes. Minified bundles have longer lines.
	maxText = 4 << 10
	// maxQuote bounds a line that is quoted, in bytes.
	maxQuote = 300
	// maxQuoted is how many lines are quoted of an output that is not recognised, keptLines how many are kept for that.
	maxQuoted = 3
	keptLines = 32
	// recent is how many lines before the end an error that tools often survive counts.
	recent = 500
	// maxBack is how many lines before a match are looked at.
	maxBack = 8
	// window is how many lines after a match are read for details.
	window = 40
	// maxRepeats is how many further lines the expression of a rule that has matched is tried on.
	maxRepeats = 200
)

// NewFinder returns a Finder for a command that runs in dir.
func NewFinder(dir string) *Finder {
	f := &Finder{rules: catalogue(), hits: map[*rule]*hit{}}
	if dir = strings.TrimRight(dir, "/"); dir != "" {
		// macOS shows /tmp and /var with /private before.
		f.dirs = []string{"file:///private" + dir + "/", "file://" + dir + "/", "/private" + dir + "/", dir + "/"}
	}
	return f
}

// Line adds a line. level is that of the log.
func (f *Finder) Line(level, line string) {
	f.lines++
	plain := strings.TrimRight(unwrap(buildlog.Plain(line)), " \t")
	if plain == "" {
		f.follow(plain)
		return
	}
	if len(plain) > maxText {
		plain = plain[:maxText]
	}
	f.keep(level, plain)
	f.follow(plain)
	f.found = f.rules.candidates(plain, f.found[:0])
	for _, r := range f.found {
		f.match(r, plain)
	}
}

// unwrap removes what yarn puts before the lines of a script, and the thin spaces of pnpm.
func unwrap(line string) string {
	if line == "" || line[0] != "➤"[0] {
		return line
	}
	if strings.HasPrefix(line, "➤") {
		for _, pipe := range []string{" STDERR ", " STDOUT "} {
			if _, rest, ok := strings.Cut(line, pipe); ok {
				return rest
			}
		}
	}
	return strings.ReplaceAll(line, "\u2009", "")
}

// follow lets open hits read a line.
func (f *Finder) follow(line string) {
	if len(f.open) == 0 {
		return
	}
	f.open = slices.DeleteFunc(f.open, func(h *hit) bool {
		h.left--
		if h.rule.until != nil && h.rule.until.MatchString(line) {
			return true
		}
		for _, e := range h.rule.more {
			collect(h.groups, e, line)
		}
		return h.left <= 0
	})
}

// collect adds the groups of the first match; a group that is named last… is replaced by each match.
func collect(groups map[string]string, e *regexp.Regexp, line string) {
	m := e.FindStringSubmatch(line)
	if m == nil {
		return
	}
	for i, name := range e.SubexpNames() {
		if name == "" || m[i] == "" {
			continue
		}
		if groups[name] == "" || strings.HasPrefix(name, "last") {
			groups[name] = text.Shorten(strings.TrimSpace(m[i]), maxQuote)
		}
	}
}

func (f *Finder) match(r *rule, line string) {
	h := f.hits[r]
	if h != nil && (slices.Contains(f.open, h) || h.complete()) {
		// A compiler may repeat itself for ever: after some matches the literal is enough.
		if h.repeats++; h.repeats > maxRepeats || r.match.MatchString(line) {
			h.seen = f.lines
		}
		return
	}
	m := r.match.FindStringSubmatch(line)
	if m == nil {
		return
	}
	h = &hit{rule: r, groups: map[string]string{}, line: f.lines, seen: f.lines, left: window}
	collect(h.groups, r.match, line)
	if r.before != nil {
		f.lookBack(h)
	}
	f.hits[r] = h
	if len(r.more) > 0 {
		f.open = append(f.open, h)
	}
}

// lookBack collects groups from the nearest of the lines before that matches. The last of the ring is the matching line itself.
func (f *Finder) lookBack(h *hit) {
	for i := 2; i <= min(len(f.last), maxBack); i++ {
		if line := f.last[(f.next+len(f.last)-i)%len(f.last)]; h.rule.before.MatchString(line) {
			collect(h.groups, h.rule.before, line)
			return
		}
	}
}

// complete reports whether the hit has what its rule needs.
func (h *hit) complete() bool { return h.rule.need == "" || h.groups[h.rule.need] != "" }

// noise matches lines that explain nothing, and stack frames.
var noise = regexp.MustCompile(`(?i)a complete log of this run|^npm (err!|error) (code|errno|path|command|syscall)\b|^npm (err!|error)$|` +
	`^(npm (err!|error) )?\s*at |^node\.js v\d`)

// keep remembers the last lines, which are quoted if no rule matches. What is noise among them is
// sorted out at the end.
func (f *Finder) keep(level, line string) {
	if level == "error" && !isNoise(line) {
		f.lastError = line
	}
	if len(f.last) < keptLines {
		f.last = append(f.last, line)
		return
	}
	f.last[f.next] = line
	f.next = (f.next + 1) % keptLines
}

func isNoise(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || noise.MatchString(line)
}

// lastLines returns the last lines that are not noise.
func (f *Finder) lastLines() (quoted []string) {
	for _, line := range slices.Concat(f.last[f.next:], f.last[:f.next]) {
		if !isNoise(line) {
			quoted = append(quoted, strings.TrimSpace(line))
		}
	}
	return quoted[max(0, len(quoted)-maxQuoted):]
}

// Find returns the cause of a command that exited with code, or that the signal ended. It is called
// once, after the last line.
func (f *Finder) Find(code int, signal string) Cause {
	var best *hit
	for _, h := range f.hits {
		if h.complete() && f.counts(h) && (best == nil || h.before(best)) {
			best = h
		}
	}
	killed := signal == "killed" || code == 137
	switch {
	case best != nil && (!killed || best.rule.blame == Machine):
		return f.shorten(best.cause())
	case killed:
		return killedCause()
	case signal != "":
		return Cause{} // the signal says it all
	}
	return f.unknown(code)
}

// counts reports whether a hit may be the cause. Exceptions and the network's errors are often survived: tools catch and repeat. Only those near
// the end count.
func (f *Finder) counts(h *hit) bool {
	survived := h.rule.blame == Network || h.rule.rank <= rankPlain
	return !survived || f.lines-h.seen < recent
}

// before orders hits by rank; of equal ones the last to match wins, since it is nearer to the failure.
func (h *hit) before(other *hit) bool {
	if h.rule.rank != other.rule.rank {
		return h.rule.rank > other.rule.rank
	}
	if h.seen != other.seen {
		return h.seen > other.seen
	}
	return h.rule.id < other.rule.id
}

func (h *hit) cause() Cause {
	return Cause{
		Rule: h.rule.id, Text: fill(h.rule.cause, h.groups), Where: fill(h.rule.where, h.groups), Cure: fill(h.rule.cure, h.groups),
		Line: h.line, Blame: h.rule.blame, Elsewhere: h.rule.elsewhere,
	}
}

// shorten removes the project's directory, which is another in each build.
func (f *Finder) shorten(c Cause) Cause {
	for _, dir := range f.dirs {
		c.Text, c.Where = strings.ReplaceAll(c.Text, dir, ""), strings.ReplaceAll(c.Where, dir, "")
	}
	c.Text = strings.TrimRight(c.Text, ". :")
	return c
}

// unknown quotes the last error line, or else the last lines.
func (f *Finder) unknown(code int) Cause {
	c, quoted := Cause{Text: "The output names no cause that Free Agent knows"}, f.lastLines()
	switch {
	case f.lastError != "":
		c.Text += "; the last error line: " + text.Shorten(strings.TrimSpace(f.lastError), maxQuote)
	case len(quoted) > 1:
		c.Text += "; the last lines: " + text.Shorten(strings.Join(quoted, " | "), maxQuote)
	case len(quoted) == 1:
		c.Text += "; the last line: " + text.Shorten(quoted[0], maxQuote)
	case code > 0:
		c.Text = "The command printed nothing"
	}
	return f.shorten(c)
}
