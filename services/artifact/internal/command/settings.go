package command

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/daemon"
	"github.com/expo-free-agent/freeagent/shared/objects"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// settings are the environment's variables.
type settings struct {
	Listen string `env:"FREEAGENT_ARTIFACT_LISTEN" help:"address to listen on"`
	Cert   string `env:"FREEAGENT_ARTIFACT_CERT_FILE" help:"certificate to listen with (TLS)"`
	Key    string `env:"FREEAGENT_ARTIFACT_KEY_FILE" help:"its key"`
	Health string `env:"FREEAGENT_ARTIFACT_HEALTH_LISTEN" help:"second address, without TLS, for probes of /livez and /readyz, which says the reason there (empty: none)"`
	daemon.Connections
	daemon.Stopping

	S3Endpoint  string `env:"FREEAGENT_S3_ENDPOINT,required,notEmpty" help:"host:port of the object store"`
	S3Bucket    string `env:"FREEAGENT_S3_BUCKET" help:"bucket, made if missing and the database names no objects"`
	S3Region    string `env:"FREEAGENT_S3_REGION" help:"region (empty: us-east-1)"`
	S3AccessKey string `env:"FREEAGENT_S3_ACCESS_KEY,required,notEmpty" secret:"true" help:"access key"`
	S3SecretKey string `env:"FREEAGENT_S3_SECRET_KEY,required,notEmpty" secret:"true" help:"secret key"`
	S3TLS       bool   `env:"FREEAGENT_S3_TLS" help:"whether the object store speaks TLS"`
	S3CA        string `env:"FREEAGENT_S3_CA_FILE" help:"certificates that the object store's is checked against, instead of the system's"`

	AcceptEmpty bool `env:"FREEAGENT_ACCEPT_EMPTY" help:"whether to start although the bucket has none of the objects that the database names; they are lost then"`

	TicketKey string `env:"FREEAGENT_TICKET_KEY_FILE,required,notEmpty" help:"file with the key that signs transfers: 32 bytes or more"`
	MasterKey string `env:"FREEAGENT_MASTER_KEY_FILE,required,notEmpty" help:"file with the key that wraps those of encrypted objects: 32 bytes"`

	MaxSourceMB int64         `env:"FREEAGENT_MAX_SOURCE_MB" help:"largest source"`
	MaxCertsMB  int64         `env:"FREEAGENT_MAX_CERTS_MB" help:"largest certs"`
	MaxResultMB int64         `env:"FREEAGENT_MAX_RESULT_MB" help:"largest result"`
	TicketTTL   time.Duration `env:"FREEAGENT_TICKET_TTL" help:"how long a transfer may wait to begin"`
	Janitor     time.Duration `env:"FREEAGENT_JANITOR_INTERVAL" help:"how often expired objects are looked for"`
	LogKeep     time.Duration `env:"FREEAGENT_LOG_RETENTION" help:"how long after its end a build's log is kept; 0: for ever"`
	LogSettle   time.Duration `env:"FREEAGENT_LOG_SETTLE" help:"how long after its end a build's log is archived"`
	LogParallel int           `env:"FREEAGENT_LOG_PARALLEL" help:"how many logs are archived at once"`
}

// about is the top of the help.
const about = `Runs one replica of the artifact service until SIGTERM: it owns what is uploaded and downloaded.

Key files hold the bytes themselves, or their hexadecimal or base64 form (head -c 32 /dev/urandom | base64). All replicas
need the same keys; without the master key, stored certs are lost for good.`

func defaults() settings {
	c := artifact.DefaultConfig()
	return settings{
		Listen: "127.0.0.1:3002", S3Bucket: "freeagent", S3TLS: true,
		MaxSourceMB: c.MaxSourceBytes >> 20, MaxCertsMB: c.MaxCertsBytes >> 20, MaxResultMB: c.MaxResultBytes >> 20,
		TicketTTL: c.TicketTTL, Janitor: c.JanitorInterval,
		LogKeep: c.LogRetention, LogSettle: c.LogSettle, LogParallel: c.LogParallel,
	}
}

// config is everything but the keys.
func (s settings) config() artifact.Config {
	cfg := artifact.DefaultConfig()
	cfg.MaxSourceBytes, cfg.MaxCertsBytes, cfg.MaxResultBytes = s.MaxSourceMB<<20, s.MaxCertsMB<<20, s.MaxResultMB<<20
	cfg.AcceptEmpty = s.AcceptEmpty
	cfg.TicketTTL, cfg.JanitorInterval = s.TicketTTL, s.Janitor
	cfg.LogRetention, cfg.LogSettle, cfg.LogParallel = s.LogKeep, s.LogSettle, s.LogParallel
	cfg.StagedTTL = max(cfg.StagedTTL, 2*s.TicketTTL)
	return cfg
}

// withKeys adds the keys and checks the whole.
func (s settings) withKeys() (artifact.Config, error) {
	cfg := s.config()
	var faults []error
	for _, f := range []struct {
		name, path string
		to         *artifact.Secret
	}{
		{"FREEAGENT_TICKET_KEY_FILE", s.TicketKey, &cfg.TicketKey}, {"FREEAGENT_MASTER_KEY_FILE", s.MasterKey, &cfg.MasterKey},
	} {
		if f.path == "" {
			continue // that it is required has been said
		}
		key, err := daemon.ReadKey(f.path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.name, err))
		}
		*f.to = key
	}
	if len(faults) > 0 || s.TicketKey == "" || s.MasterKey == "" {
		return cfg, errors.Join(faults...)
	}
	return cfg, cfg.Validate()
}

// check names every fault that shows without connecting.
func (s settings) check() error {
	_, err := s.withKeys()
	_, tlsErr := tlsfiles.Server(s.Cert, s.Key)
	errs := []error{err, tlsErr, s.Connections.Check(), s.Stopping.Check()}
	if s.S3Endpoint != "" && s.S3AccessKey != "" && s.S3SecretKey != "" {
		_, err := s.store(nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s settings) store(log *slog.Logger) (*objects.S3, error) {
	transport, err := tlsfiles.Transport(objects.NewTransport(), s.S3CA)
	if err != nil {
		return nil, fmt.Errorf("FREEAGENT_S3_CA_FILE: %w", err)
	}
	return objects.New(objects.Config{
		Transport: transport, Log: log,
		Endpoint: s.S3Endpoint, AccessKey: s.S3AccessKey, SecretKey: s.S3SecretKey, Bucket: s.S3Bucket,
		Region: s.S3Region, Secure: s.S3TLS,
	})
}
