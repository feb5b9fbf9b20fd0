package ingest

import (
	"net/http"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/auth"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/legacy"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	v2 "github.com/expo-free-agent/freeagent/services/ingest/internal/v2"
)

// addLegacy makes the guard accept imported build tokens, and returns the operations of import and
// export.
func (g *Ingest) addLegacy(guard *auth.Guard, transfers *objects.Transfers) []v2.Operation {
	tokens := legacy.Tokens{DB: g.deps.DB}
	guard.AcceptLegacyTokens(tokens.Issued)
	return legacy.New(legacy.Deps{
		Responder: httpapi.Responder{Log: g.log}, Farm: g.farm, Tokens: tokens, Token: guard.Token,
		Download: func(w http.ResponseWriter, r *http.Request, id string) { transfers.Download(w, r, httpapi.V2, id, id) },
	}).Operations()
}
