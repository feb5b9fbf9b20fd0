package shadow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

const (
	// stopPatience is how long requests under way, and then the shadow's queue, may take when the proxy stops.
	stopPatience = 10 * time.Second
	// headerTimeout bounds a client that sends no header.
	headerTimeout = 30 * time.Second
	mib           = 1 << 20
)

type options struct {
	io              session.IO
	primary, shadow string
	listen, summary string
	maxBody, spool  int64
	queue           int
	every           time.Duration
	ready           func(net.Addr)
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "shadow --primary URL --shadow URL",
		Short: "Test a new server with copies of an old server's requests",
		Long: `Runs a proxy that serves clients from the primary server and sends a copy of each API v1 request to the shadow server. It
compares the answers: status, JSON (except ids and times), SHA-256 of files. Clients never wait for the shadow or see its answers.

The shadow really runs everything, including builds. Use a separate server that accepts the primary's API key.

On exit and on SIGUSR1 it writes a JSON summary to --summary (default: standard output).`,
		Example: `  freeagent shadow --primary http://old:3000 --shadow http://new:3100 --listen :3000`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.primary, "primary", "", "URL of the server that clients get answers from (required)")
	f.StringVar(&o.shadow, "shadow", "", "URL of the server under test (required)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:3001", "address to listen on (host:port)")
	f.StringVar(&o.summary, "summary", "", "file for the JSON summary (default: standard output)")
	f.Int64Var(&o.maxBody, "max-body", 64, "maximum request body to copy, in MiB; larger requests count as skipped")
	f.Int64Var(&o.spool, "spool", 1024, "maximum disk space for queued request bodies, in MiB")
	f.IntVar(&o.queue, "queue", 10_000, "maximum number of queued requests")
	f.DurationVar(&o.every, "every", time.Minute, "interval between log lines with the counts")
	return cmd
}

func (o *options) proxy(log *slog.Logger) (*Proxy, error) {
	var servers [2]*url.URL
	for i, text := range []string{o.primary, o.shadow} {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, session.Usage("--primary and --shadow are required and must be URLs such as http://localhost:3000")
		}
		servers[i] = u
	}
	if o.maxBody < 0 || o.spool < 0 || o.queue < 1 || o.every <= 0 {
		return nil, session.Usage("--max-body and --spool must not be negative; --queue and --every must be positive")
	}
	transport, err := tlsfiles.HTTP(o.io.Getenv("FREEAGENT_CA_FILE"))
	if err != nil {
		return nil, session.Usage("FREEAGENT_CA_FILE: %w", err)
	}
	return NewProxy(Config{
		Primary: servers[0], Shadow: servers[1], MaxBody: o.maxBody * mib, Spool: o.spool * mib, Queue: o.queue, Transport: transport, Log: log,
	}), nil
}

func run(ctx context.Context, o *options) error {
	log := slog.New(slog.NewTextHandler(o.io.Err, nil))
	p, err := o.proxy(log)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if o.ready != nil {
		o.ready(l.Addr())
	}
	log.InfoContext(ctx, "shadow proxy listening", "address", l.Addr().String(), "primary", o.primary, "shadow", o.shadow)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	patience, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var loops sync.WaitGroup
	loops.Go(func() { o.tellLoop(serving, p, log) })
	replayed := make(chan struct{})
	answered, allAnswered := context.WithCancel(context.Background())
	go func() { defer close(replayed); p.Run(answered, patience) }()
	server := &http.Server{Handler: p, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = closeServer(server)
	}
	allAnswered()
	time.AfterFunc(stopPatience, giveUp)
	<-replayed
	stop()
	loops.Wait()
	return errors.Join(err, o.write(p))
}

func closeServer(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop: %w", err), server.Close())
	}
	return nil
}

// tellLoop logs the figures now and then, and writes the summary when it is asked to.
func (o *options) tellLoop(ctx context.Context, p *Proxy, log *slog.Logger) {
	asked := make(chan os.Signal, 1)
	defer notifyAsked(asked)()
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			if err := o.write(p); err != nil {
				log.WarnContext(ctx, "write summary failed", "err", err)
			}
		case <-tick.C:
			s := p.Tally.Sum()
			log.InfoContext(ctx, "requests compared", "same", s.Same, "differ", s.Differ, "skipped", s.Skipped, "failed", s.Failed, "waiting", len(p.jobs))
		}
	}
}

func (o *options) write(p *Proxy) error {
	if o.summary == "" {
		return p.Tally.Write(o.io.Out)
	}
	f, err := os.Create(o.summary)
	if err != nil {
		return fmt.Errorf("summary: %w", err)
	}
	return errors.Join(p.Tally.Write(f), f.Close())
}
