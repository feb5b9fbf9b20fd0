// Package repack has the operation of API v2 that finds a build whose result may get a new JavaScript bundle.
package repack

import (
	"errors"
	"fmt"
	"net/http"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/openapi"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/identity"
)

// API has the handler. All fields are required.
type API struct {
	httpapi.Responder

	Farm *farm.Farm
}

// Operations returns the operations of API v2.
func (a API) Operations() []v2.Operation {
	return []v2.Operation{{Scope: identity.ScopeSubmit, Handle: a.repack, Operation: openapi.Operation{
		Method: http.MethodPost, Path: "/repacks", ID: "findRepack", Summary: "Find a build to repack",
		Description: "Returns a completed native build of the project and platform whose result may get a new JavaScript bundle: that of build_id, or the newest of the profile, of the branch or a trusted one. A submit with its id in repack_from puts the bundle of the new sources into that result in place of a native build. It fails if the native fingerprint of the new sources differs. Without such a build, build_id is absent and reason says why.",
		Request:     api.FindRepack{}, Response: api.RepackSource{}, Status: http.StatusOK, Errors: []int{400},
	}}}
}

func (a API) repack(w http.ResponseWriter, r *http.Request) {
	answer, err := a.find(w, r)
	if err != nil {
		a.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
}

func (a API) find(w http.ResponseWriter, r *http.Request) (out api.RepackSource, err error) {
	var in api.FindRepack
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		return out, err
	}
	found, err := a.Farm.Scheduler.FindRepack(r.Context(), &schedulerv1.FindRepackRequest{
		Project: in.Project, Platform: in.Platform, BuildId: in.BuildID, Profile: in.Profile, Branch: in.Branch, Fingerprint: in.Fingerprint,
	})
	if err != nil {
		return out, err
	}
	s := found.GetSource()
	if s == nil {
		return api.RepackSource{Reason: found.GetReason()}, nil
	}
	_, err = a.Farm.Artifact.Stat(r.Context(), &artifactv1.StatRequest{ObjectId: s.GetResult().GetObjectId()})
	if errors.Is(err, build.ErrObjectNotFound) {
		return api.RepackSource{Reason: fmt.Sprintf("the result of build %s is not stored any more", s.GetBuildId())}, nil
	}
	if err != nil {
		return out, err
	}
	return api.RepackSource{
		BuildID: s.GetBuildId(), Fingerprint: s.GetFingerprint(), Commit: s.GetCommit(), Branch: s.GetBranch(),
		FinishedAt: httpapi.Time(s.GetFinishedAtMs()),
		Result:     &api.Object{Name: s.GetResult().GetName(), Size: s.GetResult().GetSize(), SHA256: s.GetResult().GetSha256()},
	}, nil
}
