package command

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest"
)

// settings are the environment's variables. Secrets come from here or from files, never from the command line.
type settings struct {
	Listen string `env:"FREEAGENT_INGEST_LISTEN" envDefault:"127.0.0.1:3000"`
	APIKey string `env:"FREEAGENT_API_KEY,required,notEmpty"`

	NATSURL      string `env:"FREEAGENT_NATS_URL,required,notEmpty"`
	NATSUser     string `env:"FREEAGENT_NATS_USER"`
	NATSPassword string `env:"FREEAGENT_NATS_PASSWORD"`
	NATSCreds    string `env:"FREEAGENT_NATS_CREDS_FILE"`

	BusURL  string `env:"FREEAGENT_WORKER_BUS_URL,required,notEmpty"`
	Issuer  string `env:"FREEAGENT_BUS_ISSUER_FILE,required,notEmpty"`
	Account string `env:"FREEAGENT_BUS_ACCOUNT" envDefault:"$G"`
	XKey    string `env:"FREEAGENT_BUS_XKEY_FILE"`

	DatabaseURL   string `env:"FREEAGENT_DATABASE_URL,required,notEmpty"`
	DatabaseConns int    `env:"FREEAGENT_DATABASE_CONNS"`

	ArtifactURL string `env:"FREEAGENT_ARTIFACT_URL,required,notEmpty"`
	TokenKey    string `env:"FREEAGENT_TOKEN_KEY_FILE,required,notEmpty"`

	MaxUploadMB  int64         `env:"FREEAGENT_MAX_UPLOAD_MB"`
	MaxFollowers int           `env:"FREEAGENT_MAX_FOLLOWERS"`
	WorkerTTL    time.Duration `env:"FREEAGENT_WORKER_TTL"`
}

const usage = `Usage: ingest [-h | -version]

Runs one replica of the gateway until SIGTERM. It is configured by the environment:

  FREEAGENT_INGEST_LISTEN       address to listen on (default 127.0.0.1:3000)
  FREEAGENT_API_KEY             the admin API key: at least 16 of A-Z a-z 0-9 _ -
  FREEAGENT_NATS_URL            bus, e.g. nats://nats-1:4222,nats://nats-2:4222
  FREEAGENT_NATS_USER, _PASSWORD, or FREEAGENT_NATS_CREDS_FILE
  FREEAGENT_WORKER_BUS_URL      the bus as workers reach it
  FREEAGENT_BUS_ISSUER_FILE     seed of the account key with which workers' credentials are signed (auth callout)
  FREEAGENT_BUS_ACCOUNT         account that workers are placed into (default $G)
  FREEAGENT_BUS_XKEY_FILE       seed of the curve key that seals the auth callout (default: not sealed)
  FREEAGENT_DATABASE_URL        postgres://user:password@host/database, or sqlite:///absolute/path.db
  FREEAGENT_DATABASE_CONNS      connections to PostgreSQL (default 10)
  FREEAGENT_ARTIFACT_URL        the artifact service, e.g. http://artifact:3002
  FREEAGENT_TOKEN_KEY_FILE      file with the key that makes build tokens: 32 bytes or more
  FREEAGENT_MAX_UPLOAD_MB       largest submit (default 520)
  FREEAGENT_MAX_FOLLOWERS       logs followed at once (default 1000)
  FREEAGENT_WORKER_TTL          how long a worker's bus connection lasts before it is judged again (default 1h)

A secret that is a variable can be read from a file instead: append _FILE to the variable's name. Key files hold the bytes
themselves, or their hexadecimal or base64 form (head -c 32 /dev/urandom | base64). All replicas need the same keys.
`

// secrets are the variables that may also be named with _FILE.
func secrets() []string {
	return []string{"FREEAGENT_API_KEY", "FREEAGENT_NATS_PASSWORD", "FREEAGENT_DATABASE_URL"}
}

// read takes the settings out of environ ("NAME=value"). Every fault is named; no value is.
func read(environ []string) (settings, error) {
	vars := env.ToMap(environ)
	var errs []error
	for _, name := range secrets() {
		if path := vars[name+"_FILE"]; path != "" && vars[name] == "" {
			data, err := readFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s_FILE: %w", name, err))
			}
			vars[name] = strings.TrimSpace(string(data))
		}
	}
	s, err := env.ParseAsWithOptions[settings](env.Options{Environment: vars})
	return s, errors.Join(append(errs, err)...)
}

// config applies the settings to the gateway's defaults.
func (s settings) config() (ingest.Config, error) {
	cfg := ingest.DefaultConfig()
	cfg.BootstrapKey = s.APIKey
	if s.MaxUploadMB != 0 {
		cfg.MaxUploadBytes = s.MaxUploadMB << 20
	}
	if s.MaxFollowers != 0 {
		cfg.MaxFollowers = s.MaxFollowers
	}
	if s.WorkerTTL != 0 {
		cfg.WorkerTTL = s.WorkerTTL
	}
	data, err := readFile(s.TokenKey)
	if err != nil {
		return cfg, fmt.Errorf("FREEAGENT_TOKEN_KEY_FILE: %w", err)
	}
	cfg.TokenKey = decodeKey(data)
	return cfg, cfg.Validate()
}

// deps are what needs no connection. The HTTP client has no time limit on the whole: transfers take as long as bytes move.
func (s settings) deps() (ingest.Deps, error) {
	d := ingest.Deps{
		ArtifactURL: s.ArtifactURL, Account: s.Account,
		ArtifactClient: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: 2 * time.Minute,
			TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
		}},
		BusURL: func(*http.Request) string { return s.BusURL },
	}
	var err1, err2 error
	d.Issuer, err1 = readSeed("FREEAGENT_BUS_ISSUER_FILE", s.Issuer, nkeys.FromSeed)
	if s.XKey != "" {
		d.XKey, err2 = readSeed("FREEAGENT_BUS_XKEY_FILE", s.XKey, nkeys.FromCurveSeed)
	}
	return d, errors.Join(err1, err2)
}

func readSeed(name, path string, parse func([]byte) (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, err := parse([]byte(strings.TrimSpace(string(data))))
	if err != nil {
		return nil, fmt.Errorf("%s: %s holds no such seed: %w", name, path, err)
	}
	return key, nil
}

// maxFile is ample for any key; more is the wrong file.
const maxFile = 4096

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return data, nil
}

func decodeKey(data []byte) []byte {
	text := strings.TrimSpace(string(data))
	if key, err := hex.DecodeString(text); err == nil && len(key) >= 32 {
		return key
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) >= 32 {
		return key
	}
	return data
}
