// Package reuse has the operation of API v2 that finds a completed build in place of a new one.
package reuse

import (
	"context"
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
	// Token returns the access token of a build.
	Token func(buildID string) string
}

// Operations returns the operations of API v2.
func (a API) Operations() []v2.Operation {
	return []v2.Operation{{Scope: identity.ScopeSubmit, Handle: a.reuse, Operation: openapi.Operation{
		Method: http.MethodPost, Path: "/reuses", ID: "reuseBuild", Summary: "Get a completed build in place of a new one",
		Description: "With key, returns the newest completed build of the project, platform and pool whose submit had the same reuse_key, if the farm's variables, the worker's machine and the build number are still those of that build. With native_key and fingerprint, a development client with these also matches. With fingerprint alone, returns a development client for it. Builds of other branches match only if these are trusted. The build records that it was reused, and it does not expire for an hour. Without a match, reused is false and reason says why.",
		Request:     api.FindReuse{}, Response: api.Reused{}, Status: http.StatusOK, Errors: []int{400},
	}}}
}

func (a API) reuse(w http.ResponseWriter, r *http.Request) {
	answer, err := a.find(w, r)
	if err != nil {
		a.Fail(w, r, httpapi.V2, err)
		return
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
}

func (a API) find(w http.ResponseWriter, r *http.Request) (api.Reused, error) {
	var in api.FindReuse
	if err := httpapi.ReadStrict(w, r, &in); err != nil {
		return api.Reused{}, err
	}
	req := request(in)
	if in.Key != "" {
		digest, err := a.Farm.Artifact.DigestVariables(r.Context(), &artifactv1.DigestVariablesRequest{Project: in.Project, Environment: in.Environment})
		if err != nil {
			return api.Reused{}, err
		}
		req.Variables = digest.GetDigest()
	}
	return a.record(r.Context(), req)
}

func request(in api.FindReuse) *schedulerv1.FindReuseRequest {
	if in.ID == "" {
		in.ID = build.NewID()
	}
	return &schedulerv1.FindReuseRequest{
		Project: in.Project, Platform: in.Platform, Pool: in.Pool, Fingerprint: in.Fingerprint, BuildNumber: in.BuildNumber,
		Requires: in.Requires, Prefers: in.Prefers,
		Key:   &schedulerv1.ReuseKey{Key: in.Key, NativeKey: in.NativeKey, Environment: in.Environment, Simulator: in.Simulator},
		Reuse: &schedulerv1.Reuse{Id: in.ID, Commit: in.Commit, Branch: in.Branch, Username: in.Username},
	}
}

// maxTries bounds how often another build has become the answer meanwhile.
const maxTries = 3

// record finds a build, looks whether its result is stored, and has the scheduler record its reuse if it is still the answer.
func (a API) record(ctx context.Context, req *schedulerv1.FindReuseRequest) (api.Reused, error) {
	found, err := a.Farm.Scheduler.FindReuse(ctx, req)
	for range maxTries {
		if err != nil {
			return api.Reused{}, err
		}
		b := found.GetBuild()
		switch {
		case b == nil:
			return api.Reused{Reason: found.GetReason()}, nil
		case req.GetRecordBuildId() == b.GetId():
			a.Log.InfoContext(ctx, "build reused", "build_id", b.GetId(), "reuse_id", req.GetReuse().GetId())
			v := v2.View(b, nil)
			return api.Reused{Reused: true, Build: &v, AccessToken: a.Token(v.ID)}, nil
		}
		_, err = a.Farm.Artifact.Stat(ctx, &artifactv1.StatRequest{ObjectId: b.GetResult().GetObjectId()})
		if errors.Is(err, build.ErrObjectNotFound) {
			return api.Reused{Reason: fmt.Sprintf("the result of build %s is not stored any more", b.GetId())}, nil
		}
		if err != nil {
			return api.Reused{}, err
		}
		req.RecordBuildId = b.GetId()
		found, err = a.Farm.Scheduler.FindReuse(ctx, req)
	}
	return api.Reused{Reason: "builds that match end or expire right now"}, nil
}
