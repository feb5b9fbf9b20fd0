package command

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/daemon"
	conf "github.com/expo-free-agent/freeagent/shared/settings"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// settings of the gateway as a process of its own.
type settings struct {
	Listen string `env:"FREEAGENT_INGEST_LISTEN" help:"address of the HTTP API"`
	Cert   string `env:"FREEAGENT_INGEST_CERT_FILE" help:"certificate of the gateway, with its chain (TLS)"`
	Key    string `env:"FREEAGENT_INGEST_KEY_FILE" help:"key of the gateway's certificate"`
	Health string `env:"FREEAGENT_INGEST_HEALTH_LISTEN" help:"second address without TLS for probes of /livez and /readyz; none if empty"`
	APIKey string `env:"FREEAGENT_API_KEY,required" secret:"true" help:"admin API key, at least 16 of A-Z a-z 0-9 _ -"`
	daemon.Connections
	daemon.Stopping

	BusURL  string `env:"FREEAGENT_WORKER_BUS_URL,required" help:"address of the bus for workers"`
	Issuer  string `env:"FREEAGENT_BUS_ISSUER_FILE,required" help:"file with the seed of the account key that signs workers' credentials (auth callout)"`
	Account string `env:"FREEAGENT_BUS_ACCOUNT" help:"NATS account of workers"`
	XKey    string `env:"FREEAGENT_BUS_XKEY_FILE" help:"file with the seed of the curve key that encrypts the auth callout; not encrypted if empty"`

	ArtifactURL string `env:"FREEAGENT_ARTIFACT_URL,required" help:"URL of the artifact service, such as http://artifact:3002"`
	ArtifactCA  string `env:"FREEAGENT_ARTIFACT_CA_FILE" help:"CA certificates that verify the artifact service, instead of the system's"`
	TokenKey    string `env:"FREEAGENT_TOKEN_KEY_FILE,required" help:"file with the key that makes build tokens, at least 32 bytes"`

	Ingest ingest.Config
}

// about is the introduction of the help.
const about = `Runs one replica of the gateway, the HTTP API for people, scripts and workers, until SIGTERM.

A key file holds raw bytes, hexadecimal or base64. Create one: head -c 32 /dev/urandom | base64. All replicas
need the same keys.`

func defaults() settings {
	return settings{Listen: "127.0.0.1:3000", Account: "$G", Ingest: ingest.DefaultConfig()}
}

// config returns the gateway's configuration. ingest.New validates it.
func (s settings) config() (ingest.Config, error) {
	cfg := s.Ingest
	cfg.BootstrapKey = s.APIKey
	if s.TokenKey == "" {
		return cfg, nil // reported as required already
	}
	var err error
	if cfg.TokenKey, err = conf.ReadKey(s.TokenKey); err != nil {
		return cfg, fmt.Errorf("FREEAGENT_TOKEN_KEY_FILE: %w", err)
	}
	return cfg, nil
}

// check returns all errors of the settings that can be found without connecting.
func (s settings) check() error {
	cfg, err1 := s.config()
	// Missing values are reported elsewhere; valid ones in their place let the rest be checked.
	cfg.BootstrapKey = cmp.Or(cfg.BootstrapKey, strings.Repeat("k", 32))
	if cfg.TokenKey == nil {
		cfg.TokenKey = make([]byte, 32)
	}
	_, err2 := s.deps()
	_, err3 := tlsfiles.Server(s.Cert, s.Key)
	return errors.Join(err1, cfg.Validate(), err2, err3, s.Connections.Check(), s.Stopping.Check())
}

// deps returns the dependencies that need no connection. The HTTP client has no timeout: transfers
// take as long as bytes move.
func (s settings) deps() (ingest.Deps, error) {
	transport, err := tlsfiles.Transport(&http.Transport{
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: 2 * time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}, s.ArtifactCA)
	if err != nil {
		err = fmt.Errorf("FREEAGENT_ARTIFACT_CA_FILE: %w", err)
	}
	d := ingest.Deps{
		ArtifactURL: s.ArtifactURL, Account: s.Account, ArtifactClient: &http.Client{Transport: transport},
		BusURL: func(*http.Request) string { return s.BusURL },
	}
	var err1, err2 error
	if s.Issuer != "" {
		d.Issuer, err1 = readSeed("FREEAGENT_BUS_ISSUER_FILE", s.Issuer, nkeys.FromSeed)
	}
	if s.XKey != "" {
		d.XKey, err2 = readSeed("FREEAGENT_BUS_XKEY_FILE", s.XKey, nkeys.FromCurveSeed)
	}
	return d, errors.Join(err, err1, err2)
}

func readSeed(name, path string, parse func([]byte) (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	data, err := conf.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, err := parse([]byte(strings.TrimSpace(string(data))))
	if err != nil {
		return nil, fmt.Errorf("%s: %s contains no valid seed: %w", name, path, err)
	}
	return key, nil
}
