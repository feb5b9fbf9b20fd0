// Package tlsfiles makes TLS configurations of PEM files. A server's certificate is read again when its file changes, so that
// a renewal needs no restart.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// ErrFiles is in every error about a file that cannot be used.
var ErrFiles = errors.New("TLS files")

// Client is the configuration of one who connects. ca is a file of the certificates that the far side's is checked against,
// instead of the system's; cert and key are files with a certificate of its own. All may be empty, and with all empty the
// result is nil: Go's defaults. A client's certificate is read anew for each connection.
func Client(ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pool, err := Pool(ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if cert == "" && key == "" {
		return c, nil
	}
	pair := &pair{cert: cert, key: key, every: lookEvery}
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() }
	return c, nil
}

// Transport is an HTTP transport like t that trusts the certificates in the file ca; t itself if ca is empty.
func Transport(t *http.Transport, ca string) (*http.Transport, error) {
	c, err := Client(ca, "", "")
	if err != nil || c == nil {
		return t, err
	}
	t = t.Clone()
	t.TLSClientConfig = c
	return t, nil
}

// HTTP is net/http's default transport, but trusting the certificates in the file ca, if that is given.
func HTTP(ca string) (http.RoundTripper, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if ca == "" || !ok {
		return http.DefaultTransport, nil
	}
	return Transport(t, ca)
}

// Pool reads certificates of authorities.
func Pool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFiles, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%w: %s holds no certificate in PEM form", ErrFiles, path)
	}
	return pool, nil
}

// Server is the configuration of one who listens, nil if both are empty. A renewed certificate that cannot be used yet (its
// key is still the old one) leaves the last good one in use.
func Server(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	return server(&pair{cert: cert, key: key, every: lookEvery})
}

func server(pair *pair) (*tls.Config, error) {
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
	}, nil
}

// lookEvery is how old what is known of the files may be.
const lookEvery = 10 * time.Second

// pair is a certificate and its key in files.
type pair struct {
	cert, key string
	every     time.Duration

	mu      sync.Mutex
	now     *tls.Certificate
	looked  time.Time
	changed [2]time.Time
}

// get returns the certificate that the files hold, or held last.
func (p *pair) get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil && time.Since(p.looked) < p.every {
		return p.now, nil
	}
	changed, err := p.times()
	if err == nil && (p.now == nil || changed != p.changed) {
		err = p.load(changed)
	}
	p.looked = time.Now()
	if p.now != nil {
		return p.now, nil
	}
	return nil, err
}

func (p *pair) times() (times [2]time.Time, err error) {
	for i, path := range []string{p.cert, p.key} {
		if path == "" {
			return times, fmt.Errorf("%w: a certificate needs its key, and a key its certificate", ErrFiles)
		}
		info, err := os.Stat(path)
		if err != nil {
			return times, fmt.Errorf("%w: %w", ErrFiles, err)
		}
		times[i] = info.ModTime()
	}
	return times, nil
}

func (p *pair) load(changed [2]time.Time) error {
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("%w: %s and %s: %w", ErrFiles, p.cert, p.key, err)
	}
	p.now, p.changed = &c, changed
	return nil
}
