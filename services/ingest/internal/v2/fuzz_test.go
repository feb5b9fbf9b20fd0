package v2

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/farm"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
)

// FuzzListQuery: a query is a filter within its bounds or refused.
func FuzzListQuery(f *testing.F) {
	for _, seed := range []string{"limit=5", "before=-1", "status=pending&status=x", "platform=ios", "limit=99999999999999999999", "a=b;c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		limit, filter, err := parsePage(q)
		if _, packed := proto.Marshal(filter); err == nil && packed != nil && httpapi.InvalidPart(httptest.NewRequest(http.MethodGet, "/?"+q.Encode(), nil)) == "" {
			t.Errorf("%q cannot be packed: %v", query, packed)
		}
		if err == nil && (limit < 1 || limit > farm.MaxPage || filter.GetBeforeSeq() < 0) {
			t.Errorf("%q = %d, %v", query, limit, filter)
		}
	})
}
