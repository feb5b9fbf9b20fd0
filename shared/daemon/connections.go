package daemon

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/expo-free-agent/freeagent/shared/bus"
	"github.com/expo-free-agent/freeagent/shared/database"
)

// Connections are the settings of what every service has: a database and the bus.
type Connections struct {
	DatabaseURL   string `env:"FREEAGENT_DATABASE_URL,required,notEmpty" secret:"true" help:"postgres://user:password@host/database, or sqlite:///absolute/path.db"`
	DatabaseConns int    `env:"FREEAGENT_DATABASE_CONNS" help:"connections to PostgreSQL, at most 50 (0: 10)"`

	NATSURL      string `env:"FREEAGENT_NATS_URL,required,notEmpty" help:"the bus, such as nats://nats-1:4222,nats://nats-2:4222"`
	NATSUser     string `env:"FREEAGENT_NATS_USER" help:"user on the bus"`
	NATSPassword string `env:"FREEAGENT_NATS_PASSWORD" secret:"true" help:"the user's password"`
	NATSCreds    string `env:"FREEAGENT_NATS_CREDS_FILE" help:"credentials file, instead of user and password"`
	NATSCA       string `env:"FREEAGENT_NATS_CA_FILE" help:"certificates that the bus's is checked against, instead of the system's"`
}

// Open connects the service of this name to both. The caller calls the function that closes them, after everything that
// uses them has stopped.
func (c Connections) Open(ctx context.Context, service string, log *slog.Logger) (*database.DB, *nats.Conn, func() error, error) {
	db, err := database.Open(ctx, database.Config{URL: c.DatabaseURL, Service: service, MaxConns: c.DatabaseConns})
	if err != nil {
		return nil, nil, nil, err
	}
	var opts []nats.Option
	if c.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(c.NATSCreds))
	}
	if c.NATSCA != "" {
		opts = append(opts, nats.RootCAs(c.NATSCA))
	}
	nc, err := bus.Connect(bus.Config{URL: c.NATSURL, Name: service, User: c.NATSUser, Password: c.NATSPassword, Options: opts}, log)
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return db, nc, func() error { nc.Close(); return db.Close() }, nil
}
