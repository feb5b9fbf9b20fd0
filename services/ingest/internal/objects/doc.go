// Package objects transfers bytes between the gateway's clients and the artifact service, with
// grants of the artifact service. It holds nothing in memory. A transfer in which no byte moves for
// two minutes ends.
package objects

import (
	"net/http"
	"net/http/httputil"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

// Transfers moves objects. Create it with New. It is safe for concurrent use.
type Transfers struct {
	httpapi.Responder

	farm   *farm.Farm
	url    string
	client *http.Client
	proxy  *httputil.ReverseProxy
}

// New returns transfers with the artifact service at url. The client must not have a Timeout:
// transfers take as long as bytes move.
func New(f *farm.Farm, url string, client *http.Client, p httpapi.Responder) (t *Transfers, err error) {
	t = &Transfers{Responder: p, farm: f, url: url, client: client}
	t.proxy, err = t.newProxy()
	return t, err
}
