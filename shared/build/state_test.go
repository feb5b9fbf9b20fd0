package build

import (
	"errors"
	"testing"
)

// TestEveryPairIsDecided walks the whole table, so that no state or command can be added without a decision.
func TestEveryPairIsDecided(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		for _, c := range Commands() {
			o, ok := transitions[s][c]
			if !ok {
				t.Errorf("transitions[%s][%s] is undecided", s, c)
				continue
			}
			if (o.err == nil) == (o.to == "") {
				t.Errorf("transitions[%s][%s] = %+v, want either a state or a refusal", s, c, o)
			}
		}
		if got := len(transitions[s]); got != len(Commands()) {
			t.Errorf("state %s decides %d commands, want %d", s, got, len(Commands()))
		}
	}
	if got := len(transitions); got != len(States()) {
		t.Errorf("the table has %d states, want %d", got, len(States()))
	}
}

func TestNothingLeavesAFinalState(t *testing.T) {
	t.Parallel()
	for _, s := range States() {
		for _, c := range Commands() {
			next, err := Next(s, c)
			if s.Final() && err == nil {
				t.Errorf("Next(%s, %s) = %s, want a refusal", s, c, next)
			}
		}
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from State
		do   Command
		want State
		err  error
	}{
		{Pending, Release, Queued, nil},
		{Queued, Claim, Assigned, nil},
		{Assigned, Start, Building, nil},
		{Building, Complete, Completed, nil},
		{Building, Lose, Pending, nil},
		{Queued, Lose, Pending, nil},
		{Pending, Lose, Pending, nil},
		{Pending, Exhaust, Failed, nil},
		{Queued, HandBack, "", ErrLeaseLost},
		{Building, Exhaust, Failed, nil},
		{Assigned, Claim, "", ErrTaken},
		{Pending, Claim, "", ErrNotQueued},
		{Cancelled, Complete, "", ErrLeaseLost},
		{Completed, Cancel, "", ErrFinished},
		{"nowhere", Cancel, "", ErrInvalid},
		{Pending, "fly", "", ErrInvalid},
	}
	for _, tt := range tests {
		got, err := Next(tt.from, tt.do)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Next(%s, %s) = %q, %v, want %q, %v", tt.from, tt.do, got, err, tt.want, tt.err)
		}
	}
}

func TestEveryStateIsReachedAndEveryLiveOneLeft(t *testing.T) {
	t.Parallel()
	reached := map[State]bool{Pending: true}
	for range States() {
		for s := range reached {
			for _, c := range Commands() {
				if next, err := Next(s, c); err == nil {
					reached[next] = true
				}
			}
		}
	}
	for _, s := range States() {
		if !reached[s] {
			t.Errorf("no sequence of commands reaches %s", s)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	if a, b := NewID(), NewID(); a == b || !ValidID(a) {
		t.Errorf("NewID() = %q and %q, want two valid ones", a, b)
	}
	for _, bad := range []string{"", "a b", "a/b", "a.b", "ä", string(make([]byte, 65))} {
		if ValidID(bad) {
			t.Errorf("ValidID(%q) = true", bad)
		}
	}
}

func TestParsePlatform(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{"ios": true, "android": true, "IOS": false, "": false, "windows": false} {
		if _, err := ParsePlatform(in); (err == nil) != ok {
			t.Errorf("ParsePlatform(%q) error = %v", in, err)
		}
	}
}

func TestStageTTL(t *testing.T) {
	t.Parallel()
	if got := StageInstall.TTL(DefaultTTLs()); got.Minutes() != 5 {
		t.Errorf("install TTL = %v", got)
	}
	if got := Stage("ours").TTL(nil); got != DefaultTTL {
		t.Errorf("unknown stage's TTL = %v, want %v", got, DefaultTTL)
	}
}
