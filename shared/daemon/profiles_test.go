package daemon_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/daemon"
)

// TestProfiles: they are served while the program runs, and its end is theirs.
func TestProfiles(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs bytes.Buffer
	var profile string
	err = daemon.Program[struct{}]{Name: "prog", Run: func(ctx context.Context, _ struct{}, _ *slog.Logger) error {
		defer stop()
		profile, err = get(ctx, "http://"+address+"/debug/pprof/goroutine?debug=1")
		if err != nil {
			return err
		}
		stop()
		<-ctx.Done()
		return nil
	}}.Main(ctx, nil, []string{"FREEAGENT_DEBUG_LISTEN=" + address}, &out, &errs)
	if err != nil || !strings.HasPrefix(profile, "goroutine profile: total ") {
		t.Errorf("%v, profile %.60q, want the goroutines; log:\n%s", err, profile, errs.String())
	}
}

// get needs no second try: the address is open before the program runs, and who asks waits until it is served.
func get(ctx context.Context, url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return string(data), err
}

func TestProfilesOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	_, err := run(t, []string{"--check-config"}, "T_SECRET=x", "FREEAGENT_DEBUG_LISTEN=0.0.0.0:6060")
	if err == nil || !strings.Contains(err.Error(), "only this machine") {
		t.Errorf("err = %v, want that others reach it", err)
	}
}
