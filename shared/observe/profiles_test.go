package observe_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/observe"
)

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", ":6060", "0.0.0.0:6060", "10.0.0.1:6060", "[::]:6060", "localhost:6060", "127.0.0.1"} {
		if l, err := observe.ListenProfiles(t.Context(), address); err == nil {
			l.Close()
			t.Errorf("%q was opened", address)
		}
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	l, err := observe.ListenProfiles(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: observe.Profiles()}}
	srv.Start()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasPrefix(string(text), "goroutine profile: total ") {
		t.Errorf("%.100s, %v, want the profile of goroutines", text, err)
	}
}
