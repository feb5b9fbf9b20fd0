package streamhealth

import (
	"slices"
	"testing"
)

// TestNoteNodes: a node that stores nothing stays known when a stream gets another leader, which has not heard of anybody yet.
func TestNoteNodes(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	steps := []struct {
		what   string
		answer answer
		want   int // rounds of node-1; 0: it is not known
	}{
		{"silent", answer{leader: "node-2", silent: []string{"node-1"}}, 1},
		{"still silent", answer{leader: "node-2", silent: []string{"node-1"}}, 2},
		{"a new leader", answer{leader: "node-3", unsure: []string{"node-1", "node-2"}}, 2},
		{"no leader", answer{}, 2},
		{"the leader has waited for it", answer{leader: "node-3", silent: []string{"node-1"}}, 3},
		{"it follows", answer{leader: "node-3"}, 0},
		{"unsure of one that was well", answer{leader: "node-2", unsure: []string{"node-1"}}, 0},
	}
	for _, step := range steps {
		step.answer.stream = "S"
		w.noteNodes([]answer{step.answer})
		got := 0
		if s := w.silent["node-1"]; s != nil {
			got = s.rounds
			if !slices.Equal(s.streams, []string{"S"}) {
				t.Errorf("%s: streams = %q, want S once", step.what, s.streams)
			}
		}
		if got != step.want {
			t.Errorf("%s: rounds = %d, want %d", step.what, got, step.want)
		}
	}
}
