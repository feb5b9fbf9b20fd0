package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// probeTimeout is above readyTimeout, so that the reason is heard.
const probeTimeout = 4 * time.Second

// probe asks a URL of a process on this machine, for container engines that can only run commands where there is no shell: nil
// if the answer is 200, else an error with the reason that it gave.
func probe(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("--probe must be a URL such as http://127.0.0.1:3001/readyz")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("--probe: %w", err)
	}
	// Nothing secret is sent or believed, and a certificate names the service, not this machine's loopback.
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("--probe: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	reason, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status says enough
	return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(reason)))
}
