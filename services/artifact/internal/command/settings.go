package command

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/expo-free-agent/freeagent/services/artifact"
	"github.com/expo-free-agent/freeagent/shared/daemon"
	"github.com/expo-free-agent/freeagent/shared/objects"
	conf "github.com/expo-free-agent/freeagent/shared/settings"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// settings of the artifact service as a process of its own.
type settings struct {
	Listen string `env:"FREEAGENT_ARTIFACT_LISTEN" help:"address of the artifact service"`
	Cert   string `env:"FREEAGENT_ARTIFACT_CERT_FILE" help:"certificate of the artifact service, with its chain (TLS)"`
	Key    string `env:"FREEAGENT_ARTIFACT_KEY_FILE" help:"key of the artifact service's certificate"`
	Health string `env:"FREEAGENT_ARTIFACT_HEALTH_LISTEN" help:"second address without TLS for probes of /livez and /readyz; none if empty"`
	daemon.Connections
	daemon.Stopping

	S3Endpoint  string `env:"FREEAGENT_S3_ENDPOINT,required" help:"host:port of the object store (S3)"`
	S3Bucket    string `env:"FREEAGENT_S3_BUCKET" help:"bucket, created if missing while the database names no objects"`
	S3Region    string `env:"FREEAGENT_S3_REGION" help:"region of the object store; us-east-1 if empty"`
	S3AccessKey string `env:"FREEAGENT_S3_ACCESS_KEY,required" secret:"true" help:"access key of the object store"`
	S3SecretKey string `env:"FREEAGENT_S3_SECRET_KEY,required" secret:"true" help:"secret key of the object store"`
	S3TLS       bool   `env:"FREEAGENT_S3_TLS" help:"whether the connection to the object store uses TLS"`
	S3CA        string `env:"FREEAGENT_S3_CA_FILE" help:"CA certificates that verify the object store, instead of the system's"`

	TicketKey string `env:"FREEAGENT_TICKET_KEY_FILE,required" help:"file with the key that signs transfers, at least 32 bytes"`
	MasterKey string `env:"FREEAGENT_MASTER_KEY_FILE,required" help:"file with the key that encrypts the keys of encrypted objects, 32 bytes"`

	Artifact artifact.Config
}

// about is the top of the help.
const about = `Runs one replica of the artifact service until SIGTERM: it owns what is uploaded and downloaded.

Key files hold the bytes themselves, or their hexadecimal or base64 form (head -c 32 /dev/urandom | base64). All replicas
need the same keys; without the master key, stored certs are lost for good.`

func defaults() settings {
	return settings{Listen: "127.0.0.1:3002", S3Bucket: "freeagent", S3TLS: true, Artifact: artifact.DefaultConfig()}
}

// withKeys returns the configuration with the keys. artifact.New validates it.
func (s settings) withKeys() (artifact.Config, error) {
	cfg := s.Artifact
	cfg.StagedTTL = max(cfg.StagedTTL, 2*cfg.TicketTTL)
	var faults []error
	for _, f := range []struct {
		name, path string
		to         *artifact.Secret
	}{
		{"FREEAGENT_TICKET_KEY_FILE", s.TicketKey, &cfg.TicketKey}, {"FREEAGENT_MASTER_KEY_FILE", s.MasterKey, &cfg.MasterKey},
	} {
		if f.path == "" {
			continue // reported as required already
		}
		key, err := conf.ReadKey(f.path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.name, err))
		}
		*f.to = key
	}
	return cfg, errors.Join(faults...)
}

// check names every fault that shows without connecting.
func (s settings) check() error {
	cfg, err := s.withKeys()
	for _, key := range []*artifact.Secret{&cfg.TicketKey, &cfg.MasterKey} {
		if *key == nil { // reported; the rest is checked with one that would be right
			*key = make([]byte, 32)
		}
	}
	_, tlsErr := tlsfiles.Server(s.Cert, s.Key)
	errs := []error{err, cfg.Validate(), tlsErr, s.Connections.Check(), s.Stopping.Check()}
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
