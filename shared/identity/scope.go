package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is one kind of thing that an API key may do. The words are stored; add, never change.
type Scope string

// The scopes. Admin implies all others.
const (
	ScopeAdmin  Scope = "admin"
	ScopeSubmit Scope = "submit"
	ScopeRead   Scope = "read"
	ScopeWorker Scope = "worker"
)

// Scopes of one key. None allow nothing.
type Scopes []Scope

// ParseScopes is the inverse of String; an unknown word is ErrKey.
func ParseScopes(s string) (Scopes, error) {
	var scopes Scopes
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		known := []Scope{ScopeAdmin, ScopeSubmit, ScopeRead, ScopeWorker}
		if !slices.Contains(known, Scope(word)) {
			return nil, fmt.Errorf("%w: scope %s is unknown, want any of %v", ErrKey, printable(word), known)
		}
		if !slices.Contains(scopes, Scope(word)) {
			scopes = append(scopes, Scope(word))
		}
	}
	return scopes, nil
}

// String joins the scopes with commas.
func (s Scopes) String() string {
	words := make([]string, len(s))
	for i, w := range s {
		words[i] = string(w)
	}
	return strings.Join(words, ",")
}

// Allow says whether a key with these scopes may do what needs want.
func (s Scopes) Allow(want Scope) bool {
	return slices.Contains(s, ScopeAdmin) || slices.Contains(s, want)
}
