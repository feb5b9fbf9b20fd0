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
		Short: "Try a new server with copies of what clients ask an old one",
		Long: `Runs a proxy that answers clients from the primary server, and sends a copy of each request of API v1 to the shadow, whose
answers are compared: status, JSON (ids and times put aside), SHA-256 of files. Clients never wait for the shadow, and never see it.

Everything is done at the shadow too: builds are submitted and built there. Give it a server of its own that has the primary's API key.

A summary as JSON goes to --summary (default: the output) at the end, and on SIGUSR1.`,
		Example: `  freeagent shadow --primary http://old:3000 --shadow http://new:3100 --listen :3000`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.primary, "primary", "", "address of the server that answers (required)")
	f.StringVar(&o.shadow, "shadow", "", "address of the server that is tried (required)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:3001", "host:port to listen on")
	f.StringVar(&o.summary, "summary", "", "file for the summary")
	f.Int64Var(&o.maxBody, "max-body", 64, "largest body that the shadow gets, in MiB; larger requests are counted as skipped")
	f.Int64Var(&o.spool, "spool", 1024, "how much all bodies that wait for the shadow may take on disk, in MiB")
	f.IntVar(&o.queue, "queue", 10_000, "how many requests may wait for the shadow")
	f.DurationVar(&o.every, "every", time.Minute, "how often to log the figures")
	return cmd
}

func (o *options) proxy(log *slog.Logger) (*Proxy, error) {
	var servers [2]*url.URL
	for i, text := range []string{o.primary, o.shadow} {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, session.Usage("--primary and --shadow are required: addresses like http://localhost:3000")
		}
		servers[i] = u
	}
	if o.maxBody < 0 || o.spool < 0 || o.queue < 1 || o.every <= 0 {
		return nil, session.Usage("--max-body and --spool must not be negative, --queue and --every must be positive")
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
	log.InfoContext(ctx, "shadow proxy listens", "address", l.Addr().String(), "primary", o.primary, "shadow", o.shadow)
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
				log.WarnContext(ctx, "summary not written", "err", err)
			}
		case <-tick.C:
			s := p.Tally.Sum()
			log.InfoContext(ctx, "compared so far", "same", s.Same, "differ", s.Differ, "skipped", s.Skipped, "failed", s.Failed, "waiting", len(p.jobs))
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
