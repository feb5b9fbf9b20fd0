package shadow

import (
	"encoding/json"
	"regexp"
	"sync"
)

// book knows which id or token of the shadow stands for which of the primary. It is safe for concurrent use.
type book struct {
	mu       sync.Mutex
	forward  map[string]string
	backward map[string]string
	order    []string
}

// maxPairs bounds the book; the oldest are forgotten.
const maxPairs = 200_000

func newBook() *book { return &book{forward: map[string]string{}, backward: map[string]string{}} }

func (b *book) learn(primary, shadow string) {
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

func (b *book) shadowOf(primary string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.forward[primary]
	return s, ok
}

func (b *book) primaryOf(shadow string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.backward[shadow]
	return p, ok
}

// word is what may be an id or a token.
var word = regexp.MustCompile(`[A-Za-z0-9_-]{8,64}`)

// translate puts the shadow's ids and tokens where the primary's stand.
func (b *book) translate(text string) string {
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if s, ok := b.shadowOf(w); ok {
			return s
		}
		return w
	})
}

// introduced are the answers that bring new ids: of a build, or a worker, or a job.
type introduced struct {
	ID    string `json:"id"`
	Token string `json:"access_token"`
	Job   *struct {
		ID string `json:"id"`
	} `json:"job"`
}

// study learns from two answers to the same request.
func (b *book) study(primary, shadow []byte) {
	var p, s introduced
	if json.Unmarshal(primary, &p) != nil || json.Unmarshal(shadow, &s) != nil {
		return
	}
	b.learn(p.ID, s.ID)
	b.learn(p.Token, s.Token)
}
