package api

import (
	"context"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// ReuseKey says what must be the same in a later submit so that it may get a build.
type ReuseKey struct {
	// Key is a SHA-256 in lower-case hexadecimal over everything that decides the result, as far as the client knows it.
	Key string `json:"key,omitempty" description:"reuse_key of the submit: a SHA-256 in lower-case hexadecimal."`
	// NativeKey is the same without the JavaScript inputs, only of development clients.
	NativeKey string `json:"native_key,omitempty" description:"reuse_native_key of the submit, only of development clients."`
	// Environment whose variables the build gets.
	Environment string `json:"environment,omitempty" description:"Environment whose variables the build gets. Required with key."`
	// Simulator means that the result is a development client for the iOS simulator.
	Simulator bool `json:"simulator,omitempty" description:"Only development clients for the iOS simulator, or only others. Used with fingerprint alone."`
}

// FindReuse asks for a completed build in place of a new one: POST /reuses.
type FindReuse struct {
	// ID makes a repeat the same reuse; Find sets it.
	ID       string `json:"id,omitempty" description:"Id of the reuse, so that a repeat is the same one (default: a new one)."`
	Project  string `json:"project" required:"true" description:"Name of the project."`
	Platform string `json:"platform" required:"true" enum:"ios,android" description:"Target platform."`
	Pool     string `json:"pool,omitempty" description:"Worker pool (default: default)."`
	ReuseKey
	// Fingerprint is the native fingerprint of the app (@expo/fingerprint).
	Fingerprint string `json:"fingerprint,omitempty" description:"Native fingerprint of the app (@expo/fingerprint)."`
	// BuildNumber is empty or build.LastNumber.
	BuildNumber string `json:"build_number,omitempty" enum:"last" description:"last: the project's last build number, as in a submit."`
	// Requires and Prefers are labels as in a submit.
	Requires string `json:"requires,omitempty" description:"Labels that the worker must have, as in a submit."`
	Prefers  string `json:"prefers,omitempty" description:"Labels that the worker should have, as in a submit."`
	// Commit, Branch and Username are recorded with the reuse.
	Commit   string `json:"commit,omitempty" description:"Full id of the commit, which is recorded."`
	Branch   string `json:"branch,omitempty" description:"Branch that asks. Builds of other branches match only if these are trusted."`
	Username string `json:"username,omitempty" description:"Who asks."`
}

// Reused is the answer to POST /reuses.
type Reused struct {
	// Reused is false without a match; Reason says why.
	Reused bool   `json:"reused"`
	Reason string `json:"reason,omitempty"`
	Build  *Build `json:"build,omitempty"`
	// AccessToken is that of the build, see Submitted.
	AccessToken string `json:"access_token,omitempty"`
}

// Reuse is one reuse of a build.
type Reuse struct {
	At       string `json:"at"`
	Commit   string `json:"commit,omitempty"`
	Branch   string `json:"branch,omitempty"`
	Username string `json:"username,omitempty"`
}

// Reuse returns a completed build in place of a new one, if there is one, and records its reuse.
func (s *BuildsService) Reuse(ctx context.Context, in FindReuse) (out Reused, err error) {
	in.ID = build.NewID()
	err = s.conn.retry(ctx, func() error { return s.conn.call(ctx, http.MethodPost, Path+"/reuses", in, &out) })
	return out, err
}
