package standalone_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/standalone"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles/tlsfilestest"
)

// TestTLS: with a certificate nothing goes over a socket in the clear; the local worker needs no certificate for itself, one
// from outside checks the server's on both ports.
func TestTLS(t *testing.T) {
	t.Parallel()
	files := tlsfilestest.New(t, t.TempDir(), "farm")
	f := newFarm(t, "--tls-cert-file", files.Cert, "--tls-key-file", files.Key, "--with-worker", "--executor", "fake")
	f.eventually("up tells the address as it is", func() bool { return strings.Contains(f.out.String(), "https://127.0.0.1:"+f.port) })
	transport, err := tlsfiles.HTTP(files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.New(api.Config{BaseURL: "https://127.0.0.1:" + f.port, Key: farmKey, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	run(t, []string{"FREEAGENT_API_KEY=" + farmKey, "FREEAGENT_CA_FILE=" + files.Cert}, "worker", "--server", "https://127.0.0.1:"+f.port,
		"--name", "remote", "--pool", "remote", "--state-dir", filepath.Join(t.TempDir(), "remote"), "--executor", "fake")
	for _, pool := range []string{"default", "remote"} {
		sub, err := c.Builds.Submit(t.Context(), api.Submit{Platform: "android", Pool: pool, Source: project(t)})
		if err != nil {
			t.Fatalf("submit for pool %s: %v", pool, err)
		}
		f.eventually("the build of pool "+pool+" is completed", func() bool {
			b, err := c.Builds.Get(t.Context(), sub.ID)
			return err == nil && b.Status == "completed"
		})
	}
	resp, err := http.Get("http://127.0.0.1:" + f.port + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("HTTP without TLS = %s, want 400", resp.Status)
	}
}

// TestBusSpeaksTLS looks at the bus's own port.
func TestBusSpeaksTLS(t *testing.T) {
	files, cfg := tlsfilestest.New(t, t.TempDir(), "farm"), config(t)
	cfg.TLSCert, cfg.TLSKey, cfg.BusListen = files.Cert, files.Key, net.JoinHostPort("127.0.0.1", freePort(t))
	start(t, cfg)
	conn, err := net.Dial("tcp", cfg.BusListen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	info := make([]byte, 4096)
	n, err := conn.Read(info)
	if err != nil || !strings.Contains(string(info[:n]), `"tls_required":true`) {
		t.Errorf("the bus says %s, %v, want that TLS is required", info[:n], err)
	}
	trust, err := tlsfiles.Client(files.Cert, "", "")
	if err != nil {
		t.Fatal(err)
	}
	trust.ServerName = "127.0.0.1"
	if err := tls.Client(conn, trust).Handshake(); err != nil {
		t.Errorf("handshake: %v", err)
	}
}

func TestTLSFilesAreCheckedFirst(t *testing.T) {
	cfg := config(t)
	cfg.TLSCert = filepath.Join(t.TempDir(), "none.pem")
	if _, err := standalone.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("Open = %v, want that the file is named", err)
	}
}
