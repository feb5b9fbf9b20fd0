package tlsfiles_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles/tlsfilestest"
)

// serve answers with the name on the client's certificate.
func serve(t *testing.T, c *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			w.Header().Set("Client", r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}))
	l := tls.NewListener(s.Listener, c)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return "https://" + l.Addr().String()
}

// get returns the answer's headers.
func get(t *testing.T, url string, c *tls.Config) (http.Header, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return resp.Header, resp.Body.Close()
}

func TestBothSidesShowCertificates(t *testing.T) {
	t.Parallel()
	server, client := tlsfilestest.New(t, t.TempDir(), "server"), tlsfilestest.New(t, t.TempDir(), "client")
	sc, err := tlsfiles.Server(server.Cert, server.Key)
	if err != nil {
		t.Fatal(err)
	}
	sc.ClientAuth = tls.RequireAnyClientCert
	url := serve(t, sc)
	cc, err := tlsfiles.Client(server.Cert, client.Cert, client.Key)
	if err != nil {
		t.Fatal(err)
	}
	header, err := get(t, url, cc)
	if err != nil || header.Get("Client") != "client" {
		t.Fatalf("get = %v, %v, want the client's certificate seen", header, err)
	}
	other, err := tlsfiles.Client(client.Cert, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, url, other); err == nil {
		t.Error("a server that the authority did not sign for is trusted")
	}
}

// TestRenewal: a new certificate is served without a restart; one that does not fit its key leaves the old one in use.
func TestRenewal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := tlsfilestest.New(t, dir, "first")
	renewals := tlsfiles.LookEvery(0)
	sc, err := renewals.Server(first.Cert, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		c, err := sc.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.Subject.CommonName
	}
	if err := os.WriteFile(first.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != "first" {
		t.Errorf("served %q while the renewal is under way, want the first", got)
	}
	tlsfilestest.New(t, dir, "second")
	future := time.Now().Add(time.Minute) // file systems' clocks may be coarse
	if err := os.Chtimes(first.Cert, future, future); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != "second" {
		t.Errorf("served %q after the renewal, want the second", got)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	f := tlsfilestest.New(t, t.TempDir(), "x")
	other := tlsfilestest.New(t, t.TempDir(), "y")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, get := range map[string]func() error{
		"no authority":   func() error { _, err := tlsfiles.Client("/no/such", "", ""); return err },
		"no PEM":         func() error { _, err := tlsfiles.Client(text, "", ""); return err },
		"no key":         func() error { _, err := tlsfiles.Client("", f.Cert, ""); return err },
		"no certificate": func() error { _, err := tlsfiles.Server("", f.Key); return err },
		"another's key":  func() error { _, err := tlsfiles.Server(f.Cert, other.Key); return err },
		"missing key":    func() error { _, err := tlsfiles.Server(f.Cert, "/no/such"); return err },
		"HTTP":           func() error { _, err := tlsfiles.HTTP("/no/such"); return err },
	} {
		if err := get(); !errors.Is(err, tlsfiles.ErrFiles) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want ErrFiles", name, err)
		}
	}
	if c, err := tlsfiles.Client("", "", ""); c != nil || err != nil {
		t.Errorf("Client of nothing = %v, %v, want nil", c, err)
	}
	if c, err := tlsfiles.Server("", ""); c != nil || err != nil {
		t.Errorf("Server of nothing = %v, %v, want nil", c, err)
	}
	if rt, err := tlsfiles.HTTP(""); rt != http.DefaultTransport || err != nil {
		t.Errorf("HTTP of nothing = %v, %v, want the default", rt, err)
	}
}
