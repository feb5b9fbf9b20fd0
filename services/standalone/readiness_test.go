package standalone_test

import (
	"encoding/json"
	"io"
	"net/http"
)

// get asks without a key.
func (f *farm) get(path string) (status int, body string) {
	f.t.Helper()
	resp, err := http.Get(f.url() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(data)
}

func (f *farm) problems() (all []string) {
	f.t.Helper()
	var health struct{ Problems []string }
	_, body := f.get("/health")
	if err := json.Unmarshal([]byte(body), &health); err != nil {
		f.t.Fatalf("/health: %v: %s", err, body)
	}
	return health.Problems
}
