package v2

import (
	"net/http"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// newUpload creates an upload for a source. It fixes the id of the future build, so that repeated
// submits of the upload are one build.
func (h builds) newUpload(w http.ResponseWriter, r *http.Request) {
	var req api.NewUpload
	err := httpapi.ReadJSON(w, r, &req)
	var resp *artifactv1.UploadResponse
	if err == nil {
		resp, err = h.Farm.Artifact.Upload(r.Context(), &artifactv1.UploadRequest{
			BuildId: build.NewID(), Kind: artifactv1.Kind_KIND_SOURCE, Project: req.Project, Name: req.Name,
		})
	}
	if err != nil {
		h.Fail(w, r, httpapi.V2, err)
		return
	}
	grant := resp.GetGrant()
	w.Header().Set("Cache-Control", "no-store")
	httpx.WriteJSON(w, http.StatusCreated, api.Upload{
		ID: grant.GetObjectId(), URL: grant.GetUrl(), Headers: grant.GetHeaders(), ExpiresAt: httpapi.Time(grant.GetExpiresAtMs()),
		MaxBytes: min(grant.GetMaxBytes(), h.MaxUploadBytes),
	})
}
