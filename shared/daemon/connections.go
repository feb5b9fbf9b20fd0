package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/settings"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// Connections are the settings of what every service has: a database and the bus.
type Connections struct {
	DatabaseURL   string `env:"FREEAGENT_DATABASE_URL,required" secret:"true" help:"URL of the database: postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/ca.pem, or sqlite:///absolute/path.db"`
	DatabaseConns int    `env:"FREEAGENT_DATABASE_MAX_CONNS" help:"size of the connection pool to PostgreSQL, 1 to 50; 10 if 0"`

	NATSURL      string `env:"FREEAGENT_NATS_URL,required" help:"addresses of the bus (NATS), such as nats://nats-1:4222,nats://nats-2:4222"`
	NATSUser     string `env:"FREEAGENT_NATS_USER" help:"user on the bus"`
	NATSPassword string `env:"FREEAGENT_NATS_PASSWORD" secret:"true" help:"password of the user on the bus"`
	NATSCreds    string `env:"FREEAGENT_NATS_CREDS_FILE" help:"NATS credentials file, instead of user and password"`
	NATSCA       string `env:"FREEAGENT_NATS_CA_FILE" help:"CA certificates that verify the bus, instead of the system's"`
	NATSCert     string `env:"FREEAGENT_NATS_CERT_FILE" help:"client certificate for the bus (mutual TLS)"`
	NATSKey      string `env:"FREEAGENT_NATS_KEY_FILE" help:"key of the client certificate for the bus"`
}

// Check names every fault that shows without connecting. Settings that are empty because they could not be read are not
// faulty again.
func (c Connections) Check() error {
	_, _, err := c.busOptions()
	var errs []error
	if c.DatabaseURL != "" {
		errs = append(errs, database.Config{URL: c.DatabaseURL, Service: "check", MaxConns: c.DatabaseConns}.Validate())
	}
	if c.NATSCreds != "" && c.NATSUser != "" {
		errs = append(errs, errors.New("FREEAGENT_NATS_CREDS_FILE and FREEAGENT_NATS_USER exclude each other; remove one"))
	}
	if c.NATSCA+c.NATSCert != "" {
		for address := range strings.SplitSeq(c.NATSURL, ",") {
			if scheme, _, _ := strings.Cut(address, "://"); scheme != "tls" && scheme != "wss" {
				errs = append(errs, fmt.Errorf("FREEAGENT_NATS_URL: %q is not encrypted, so the certificates would not be used; use tls://", scheme+"://"))
			}
		}
	}
	return errors.Join(append(errs, err)...)
}

func (c Connections) busOptions() (opts []nats.Option, secure *tls.Config, err error) {
	if c.NATSCreds != "" {
		if _, err := settings.ReadFile(c.NATSCreds); err != nil {
			return nil, nil, fmt.Errorf("FREEAGENT_NATS_CREDS_FILE: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.NATSCreds))
	}
	secure, err = tlsfiles.Client(c.NATSCA, c.NATSCert, c.NATSKey)
	if err != nil {
		return nil, nil, fmt.Errorf("FREEAGENT_NATS_CA_FILE, _CERT_FILE and _KEY_FILE: %w", err)
	}
	return opts, secure, nil
}

// Open connects the service of this name to both. The caller calls the function that closes them, after everything that
// uses them has stopped.
func (c Connections) Open(ctx context.Context, service string, log *slog.Logger) (*database.DB, *nats.Conn, func() error, error) {
	db, err := database.Open(ctx, database.Config{URL: c.DatabaseURL, Service: service, MaxConns: c.DatabaseConns})
	if err != nil {
		return nil, nil, nil, err
	}
	opts, secure, err := c.busOptions()
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	nc, err := bus.Connect(bus.Config{URL: c.NATSURL, Name: service, User: c.NATSUser, Password: c.NATSPassword, TLS: secure, Options: opts}, log)
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return db, nc, func() error { nc.Close(); return db.Close() }, nil
}
