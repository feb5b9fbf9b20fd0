package bus

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// Config says how to reach the bus.
type Config struct {
	// URL of one or more servers, separated by commas. Ignored when InProcess is set.
	URL string
	// Name shown in the server's connection list.
	Name string
	// User and Password; empty if the server asks for none or Options bring other credentials.
	User, Password string
	// InboxPrefix for replies; empty means _INBOX.
	InboxPrefix string
	// TLS holds where the URL says tls:// or the server asks for it; nil trusts what the system trusts.
	TLS *tls.Config
	// InProcess is an embedded server (nats.InProcessConnProvider): no socket is opened.
	InProcess nats.InProcessConnProvider
	// Options are added last.
	Options []nats.Option
}

// The first wait is short: heartbeats must be back well within the grace that the monitor gives after an outage. It grows
// up to the second, so that a client that is refused for good (a revoked worker) does not keep the server busy.
const (
	reconnectWait    = 250 * time.Millisecond
	maxReconnectWait = 2 * time.Second
)

// reconnectDelay doubles with each round of attempts, with jitter of a half so that clients do not come back as one.
func reconnectDelay(attempts int) time.Duration {
	d := min(reconnectWait<<min(max(attempts-1, 0), 8), maxReconnectWait)
	return d/2 + rand.N(d)
}

// Connect dials the bus and stays connected: it reconnects for ever with jitter, through refusals too (who judges
// connections may itself just be starting), and what is published meanwhile is buffered up to 8 MiB. The caller closes the
// connection.
func Connect(cfg Config, log *slog.Logger) (*nats.Conn, error) {
	log = log.With("bus_client", cfg.Name)
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.Timeout(5 * time.Second),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(reconnectDelay),
		// A server that hangs is left after 8 to 12 s. Gateways judge the workers' connections: while one hangs on a server that
		// does, workers that want to leave the same server are not let in elsewhere. Workers ping less often.
		nats.PingInterval(4 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("bus connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("bus connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			log.Warn("bus reported an error", "subject", subject, "err", err)
		}),
	}
	if cfg.User != "" {
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.TLS != nil {
		opts = append(opts, func(o *nats.Options) error { o.TLSConfig = cfg.TLS; return nil })
	}
	if cfg.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(cfg.InboxPrefix))
	}
	if cfg.InProcess != nil {
		opts = append(opts, nats.InProcessServer(cfg.InProcess))
	}
	nc, err := nats.Connect(cfg.URL, append(opts, cfg.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	return nc, nil
}
