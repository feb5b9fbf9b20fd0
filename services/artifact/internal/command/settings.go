package command

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/expo-free-agent/freeagent/services/artifact"
)

// settings are the environment's variables. Secrets come from here or from files, never from the command line.
type settings struct {
	Listen string `env:"FREEAGENT_ARTIFACT_LISTEN" envDefault:"127.0.0.1:3002"`

	NATSURL      string `env:"FREEAGENT_NATS_URL,required,notEmpty"`
	NATSUser     string `env:"FREEAGENT_NATS_USER"`
	NATSPassword string `env:"FREEAGENT_NATS_PASSWORD"`
	NATSCreds    string `env:"FREEAGENT_NATS_CREDS_FILE"`

	DatabaseURL   string `env:"FREEAGENT_DATABASE_URL,required,notEmpty"`
	DatabaseConns int    `env:"FREEAGENT_DATABASE_CONNS"`

	S3Endpoint  string `env:"FREEAGENT_S3_ENDPOINT,required,notEmpty"`
	S3Bucket    string `env:"FREEAGENT_S3_BUCKET" envDefault:"freeagent"`
	S3Region    string `env:"FREEAGENT_S3_REGION"`
	S3AccessKey string `env:"FREEAGENT_S3_ACCESS_KEY,required,notEmpty"`
	S3SecretKey string `env:"FREEAGENT_S3_SECRET_KEY,required,notEmpty"`
	S3TLS       bool   `env:"FREEAGENT_S3_TLS" envDefault:"true"`

	TicketKey string `env:"FREEAGENT_TICKET_KEY_FILE,required,notEmpty"`
	MasterKey string `env:"FREEAGENT_MASTER_KEY_FILE,required,notEmpty"`

	MaxSourceMB int64         `env:"FREEAGENT_MAX_SOURCE_MB"`
	MaxCertsMB  int64         `env:"FREEAGENT_MAX_CERTS_MB"`
	MaxResultMB int64         `env:"FREEAGENT_MAX_RESULT_MB"`
	TicketTTL   time.Duration `env:"FREEAGENT_TICKET_TTL"`
	Janitor     time.Duration `env:"FREEAGENT_JANITOR_INTERVAL"`
}

const usage = `Usage: artifact [-h | -version]

Runs one replica of the artifact service until SIGTERM. It is configured by the environment:

  FREEAGENT_ARTIFACT_LISTEN     address to listen on (default 127.0.0.1:3002)
  FREEAGENT_NATS_URL            bus, e.g. nats://nats-1:4222,nats://nats-2:4222
  FREEAGENT_NATS_USER, _PASSWORD, or FREEAGENT_NATS_CREDS_FILE
  FREEAGENT_DATABASE_URL        postgres://user:password@host/database, or sqlite:///absolute/path.db
  FREEAGENT_DATABASE_CONNS      connections to PostgreSQL (default 10)
  FREEAGENT_S3_ENDPOINT         host:port
  FREEAGENT_S3_BUCKET           (default freeagent), FREEAGENT_S3_REGION (default us-east-1)
  FREEAGENT_S3_ACCESS_KEY, FREEAGENT_S3_SECRET_KEY
  FREEAGENT_S3_TLS              true or false (default true)
  FREEAGENT_TICKET_KEY_FILE     file with the key that signs transfers: 32 bytes or more
  FREEAGENT_MASTER_KEY_FILE     file with the key that wraps those of encrypted objects: 32 bytes
  FREEAGENT_MAX_SOURCE_MB, _CERTS_MB, _RESULT_MB   largest uploads (default 500, 10, 1024)
  FREEAGENT_TICKET_TTL          how long a transfer may wait to begin (default 15m)
  FREEAGENT_JANITOR_INTERVAL    (default 1m)

A secret that is a variable can be read from a file instead: append _FILE to the variable's name. Key files hold the bytes
themselves, or their hexadecimal or base64 form (head -c 32 /dev/urandom | base64). All replicas need the same keys.
`

// secrets are the variables that may also be named with _FILE.
func secrets() []string {
	return []string{"FREEAGENT_NATS_PASSWORD", "FREEAGENT_DATABASE_URL", "FREEAGENT_S3_ACCESS_KEY", "FREEAGENT_S3_SECRET_KEY"}
}

// read takes the settings out of environ ("NAME=value"). Every fault is named; no value is.
func read(environ []string) (settings, error) {
	vars := env.ToMap(environ)
	var errs []error
	for _, name := range secrets() {
		if path := vars[name+"_FILE"]; path != "" && vars[name] == "" {
			data, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s_FILE: %w", name, err))
			}
			vars[name] = strings.TrimSpace(string(data))
		}
	}
	s, err := env.ParseAsWithOptions[settings](env.Options{Environment: vars})
	return s, errors.Join(append(errs, err)...)
}

// config applies the settings to the service's defaults.
func (s settings) config() (artifact.Config, error) {
	cfg := artifact.DefaultConfig()
	var err1, err2 error
	cfg.TicketKey, err1 = readKey(s.TicketKey)
	cfg.MasterKey, err2 = readKey(s.MasterKey)
	for _, o := range []struct {
		mb int64
		to *int64
	}{{s.MaxSourceMB, &cfg.MaxSourceBytes}, {s.MaxCertsMB, &cfg.MaxCertsBytes}, {s.MaxResultMB, &cfg.MaxResultBytes}} {
		if o.mb != 0 {
			*o.to = o.mb << 20
		}
	}
	if s.TicketTTL != 0 {
		cfg.TicketTTL = s.TicketTTL
		cfg.StagedTTL = max(cfg.StagedTTL, 2*s.TicketTTL)
	}
	if s.Janitor != 0 {
		cfg.JanitorInterval = s.Janitor
	}
	return cfg, errors.Join(err1, err2)
}

// maxKeyFile is ample for any key; more is the wrong file.
const maxKeyFile = 4096

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("key file %s is longer than %d bytes", path, maxKeyFile)
	}
	return decodeKey(data), nil
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
