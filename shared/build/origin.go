package build

import (
	"fmt"
	"regexp"
	"strings"
)

// Origin says which commit of which repository a build is of; each may be empty. It is what the submitter said: nobody compares it
// with the source.
type Origin struct {
	// Repository is owner/name, Commit its whole id in lower-case hexadecimal.
	Repository, Commit, Branch string
}

var (
	// commitRule: ids of SHA-1 and of SHA-256. Short ones may mean another commit tomorrow.
	commitRule     = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	repositoryRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}$`)
	// branchRule is near to git-check-ref-format(1): printable, and no word with a meaning of its own in commands.
	branchRule = regexp.MustCompile(`^[^\pC\s~^:?*\[\\-][^\pC\s~^:?*\[\\]{0,254}$`)
)

// Check refuses what cannot be.
func (o Origin) Check() error {
	_, name, _ := strings.Cut(o.Repository, "/")
	switch {
	case o.Commit != "" && !commitRule.MatchString(o.Commit):
		return fmt.Errorf("%w: commit %.80q (want the whole id: 40 or 64 digits of 0-9 and a-f)", ErrInvalid, o.Commit)
	case o.Repository != "" && (!repositoryRule.MatchString(o.Repository) || name == "." || name == ".."):
		return fmt.Errorf("%w: repository %.120q (want owner/name)", ErrInvalid, o.Repository)
	case o.Branch != "" && !branchRule.MatchString(o.Branch):
		return fmt.Errorf("%w: branch %.120q (want a name as git has it, at most 255 characters)", ErrInvalid, o.Branch)
	}
	return nil
}
