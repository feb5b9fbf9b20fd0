// Package download is `freeagent download`.
package download

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io          session.IO
	connect     session.Flags
	id, output  string
	force, json bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "download BUILD",
		Short: "Download a build's result (resumes if interrupted, verifies SHA-256)",
		Long: `Downloads the result of a completed build and verifies its SHA-256. Until then the file is called FILE.part; run the same
command again to resume an interrupted download.`,
		Example: `  freeagent download 7rqd2c
  freeagent download 7rqd2c --output app.apk --force`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "file to write (default: name of the result)")
	cmd.Flags().BoolVar(&o.force, "force", false, "overwrite an existing file")
	cmd.Flags().BoolVar(&o.json, "json", false, "print {path, size, sha256} as JSON")
	return cmd
}

func run(ctx context.Context, o *options) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	b, err := client.Builds.Get(ctx, o.id)
	if err != nil {
		return fmt.Errorf("build %s: %w", o.id, err)
	}
	if b.Result == nil {
		return noResult(b)
	}
	if o.output == "" {
		o.output = fileName(b)
	}
	streams := o.io
	if o.json {
		streams.Out = io.Discard
	}
	if err := To(ctx, streams, client, b, o.output, o.force); err != nil {
		return err
	}
	if o.json {
		return show.JSON(o.io.Out, map[string]any{"path": o.output, "size": b.Result.Size, "sha256": b.Result.SHA256})
	}
	return nil
}

// fileName is the result's own name: a file of this directory, whatever the server says.
func fileName(b api.Build) string {
	name := filepath.Base(filepath.Clean("/" + b.Result.Name))
	if name == "/" || name == `\` {
		return b.ID
	}
	return name
}

func noResult(b api.Build) error {
	if err := show.Outcome(b); err != nil {
		return err
	}
	return fmt.Errorf("build %s is %s and has no result yet. Wait for it: freeagent logs -f %s", b.ID, b.Status, b.ID)
}

// To writes a build's result to a file: complete and checked under its name, or not there.
func To(ctx context.Context, s session.IO, client *api.Client, b api.Build, output string, force bool) error {
	if _, err := os.Stat(output); err == nil && !force {
		return fmt.Errorf("%s already exists. Overwrite it with --force, or choose another file with --output", output)
	}
	part := output + ".part"
	if err := fetch(ctx, s, client, b, part); err != nil {
		return err
	}
	if err := os.Rename(part, output); err != nil {
		return fmt.Errorf("write %s: %w", output, err)
	}
	fmt.Fprintf(s.Out, "%s  %s\n", output, show.Size(b.Result.Size))
	return nil
}

func fetch(ctx context.Context, s session.IO, client *api.Client, b api.Build, part string) (err error) {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	offset, seen, err := resume(f, b.Result.Size)
	if err != nil {
		return err
	}
	p := show.NewProgress(s, "downloading", b.Result.Size-offset)
	err = client.Builds.DownloadResult(ctx, b, f, offset, seen, p.Add)
	p.Done()
	switch {
	case errors.Is(err, api.ErrCorrupt):
		return errors.Join(fmt.Errorf("download of %s: %w. Run the command again to start over", b.ID, err), os.Remove(part))
	case ctx.Err() != nil:
		return &session.ExitError{Code: session.ExitInterrupted, Err: fmt.Errorf("interrupted. Run the same command again to resume from %s", part)}
	case err != nil:
		return fmt.Errorf("download of %s: %w", b.ID, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	return nil
}

// resume hashes what an interrupted download left, so that the whole is checked in the end.
func resume(f *os.File, size int64) (int64, hash.Hash, error) {
	seen := sha256.New()
	n, err := io.Copy(seen, f)
	if err != nil {
		return 0, nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if n <= size {
		return n, seen, nil
	}
	if err := f.Truncate(0); err != nil {
		return 0, nil, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, nil, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return 0, sha256.New(), nil
}
