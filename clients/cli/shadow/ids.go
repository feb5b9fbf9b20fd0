package shadow

import (
	"encoding/json"
	"regexp"
	"sync"
)

// idMap maps ids and tokens of the primary to those of the shadow and back. It is safe for
// concurrent use.
type idMap struct {
	mu       sync.Mutex
	forward  map[string]string
	backward map[string]string
	order    []string
}

// maxPairs bounds the map; the oldest entries are dropped.
const maxPairs = 200_000

func newIDMap() *idMap { return &idMap{forward: map[string]string{}, backward: map[string]string{}} }

func (b *idMap) add(primary, shadow string) {
	if primary == "" || shadow == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.forward[primary]; known {
		return
	}
	if len(b.order) >= maxPairs {
		oldest := b.order[0]
		delete(b.backward, b.forward[oldest])
		delete(b.forward, oldest)
		b.order = b.order[1:]
	}
	b.forward[primary], b.backward[shadow] = shadow, primary
	b.order = append(b.order, primary)
}

func (b *idMap) shadowOf(primary string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.forward[primary]
	return s, ok
}

func (b *idMap) primaryOf(shadow string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.backward[shadow]
	return p, ok
}

// idPattern matches what may be an id or a token.
var idPattern = regexp.MustCompile(`[A-Za-z0-9_-]{8,64}`)

// translate replaces the primary's ids and tokens by the shadow's.
func (b *idMap) translate(text string) string {
	return idPattern.ReplaceAllStringFunc(text, func(w string) string {
		if s, ok := b.shadowOf(w); ok {
			return s
		}
		return w
	})
}

// newIDs are the ids in an answer: of a build, a worker or a job.
type newIDs struct {
	ID    string `json:"id"`
	Token string `json:"access_token"`
	Job   *struct {
		ID string `json:"id"`
	} `json:"job"`
}

// learn maps the ids in two answers to the same request.
func (b *idMap) learn(primary, shadow []byte) {
	var p, s newIDs
	if json.Unmarshal(primary, &p) != nil || json.Unmarshal(shadow, &s) != nil {
		return
	}
	b.add(p.ID, s.ID)
	b.add(p.Token, s.Token)
}
