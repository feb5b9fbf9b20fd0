// Command freeagent-cluster runs a distributed installation as processes of this machine until it is told to stop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/expo-free-agent/freeagent/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "freeagent-cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	cfg := cluster.Config{Workers: 1}
	flags := flag.NewFlagSet("freeagent-cluster", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: freeagent-cluster [flags] [command...]\nThe command finds it by FREEAGENT_URL, FREEAGENT_API_KEY and FREEAGENT_CA_FILE, and its end is that of the cluster.")
		flags.PrintDefaults()
	}
	flags.StringVar(&cfg.Bin, "bin", ".bin/cluster", "directory of the programs")
	flags.StringVar(&cfg.Dir, "dir", "", "directory of data, logs and secrets, new or empty; empty: a temporary one")
	flags.IntVar(&cfg.Port, "port", 3000, "port of the gateway; 0: a free one")
	flags.StringVar(&cfg.S3, "s3", cluster.Versitygw, "object store: versitygw or minio (make cluster S3=minio builds it)")
	flags.IntVar(&cfg.Replicas, "replicas", 2, "processes of each service")
	flags.IntVar(&cfg.Workers, "workers", 1, "workers with the fake executor")
	flags.StringVar(&cfg.Fake, "fake", "slow=2s", "what the fake builds are like")
	flags.BoolVar(&cfg.TLS, "tls", false, "encrypt every connection; clients need FREEAGENT_CA_FILE, which is secrets/ca.pem")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if cfg.Dir == "" {
		if cfg.Dir, err = os.MkdirTemp("", "freeagent-cluster-"); err != nil {
			return err
		}
		// PostgreSQL runs as another user when we are root, and must get to its own.
		if err := os.Chmod(cfg.Dir, 0o711); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cfg.Dir)) }()
	}
	c, err := cluster.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Free Agent runs as %d processes at %s\n", len(c.Processes()), c.URL())
	fmt.Fprintf(os.Stderr, "API key: %s   logs: %s\n", filepath.Join(cfg.Dir, "secrets", "api-key"), filepath.Join(cfg.Dir, "log"))
	if flags.NArg() > 0 {
		return errors.Join(with(ctx, c, flags.Args()), c.Stop())
	}
	fmt.Fprintln(os.Stderr, "Ctrl-C stops it.")
	<-ctx.Done()
	return c.Stop()
}

// with runs a command that finds the cluster in its environment.
func with(ctx context.Context, c *cluster.Cluster, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "FREEAGENT_URL="+c.URL(), "FREEAGENT_API_KEY="+c.Key(), "FREEAGENT_CA_FILE="+c.CAFile())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}
