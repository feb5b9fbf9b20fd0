package api

import (
	"context"
	"net/http"
)

// FindRepack asks for a completed build whose result may get a new JavaScript bundle: POST /repacks.
type FindRepack struct {
	Project     string `json:"project" required:"true" description:"Name of the project."`
	Platform    string `json:"platform" required:"true" enum:"ios,android" description:"Target platform."`
	BuildID     string `json:"build_id,omitempty" description:"A certain build. Without it the newest of the profile, of the branch or a trusted one."`
	Profile     string `json:"profile,omitempty" description:"Profile as in a submit. Used without build_id."`
	Branch      string `json:"branch,omitempty" description:"Branch as in a submit. Used without build_id."`
	Fingerprint string `json:"fingerprint,omitempty" description:"Native fingerprint of the app (@expo/fingerprint). Builds with the same are preferred."`
}

// RepackSource is the answer to POST /repacks.
type RepackSource struct {
	// BuildID is repack_from of a submit; empty without a build, and Reason says why.
	BuildID     string  `json:"build_id,omitempty"`
	Reason      string  `json:"reason,omitempty"`
	Fingerprint string  `json:"fingerprint,omitempty"`
	Commit      string  `json:"commit,omitempty"`
	Branch      string  `json:"branch,omitempty"`
	FinishedAt  string  `json:"finished_at,omitempty"`
	Result      *Object `json:"result,omitempty"`
}

// FindRepack returns a completed build whose result may get a new JavaScript bundle.
func (s *BuildsService) FindRepack(ctx context.Context, in FindRepack) (out RepackSource, err error) {
	err = s.conn.retry(ctx, func() error { return s.conn.call(ctx, http.MethodPost, Path+"/repacks", in, &out) })
	return out, err
}
