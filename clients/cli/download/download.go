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
	artifacts   bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "download BUILD",
		Short: "Download a build's result (resumes if interrupted, verifies SHA-256)",
		Long: `Downloads the result of a completed build and verifies its SHA-256. Until then the file is called FILE.part; run the same
command again to resume an interrupted download.

With --artifacts, downloads the archive of files that the build kept besides its result, also if it failed: those that
buildArtifactPaths in eas.json or artifacts in freeagent.json name.`,
		Example: `  freeagent download 7rqd2c
  freeagent download 7rqd2c --output app.apk --force
  freeagent download 7rqd2c --artifacts --output logs.tar.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "file to write (default: name of the result, or BUILD-build-artifacts.tar.gz)")
	cmd.Flags().BoolVar(&o.artifacts, "artifacts", false, "download the files that the build kept besides its result")
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
	what, err := o.choose(client, b)
	if err != nil {
		return err
	}
	if o.output == "" {
		o.output = what.name
	}
	streams := o.io
	if o.json {
		streams.Out = io.Discard
	}
	if err := what.to(ctx, streams, o.output, o.force); err != nil {
		return err
	}
	if o.json {
		return show.JSON(o.io.Out, map[string]any{"path": o.output, "size": what.Size, "sha256": what.SHA256})
	}
	return nil
}

// file is one of a build's files.
type file struct {
	api.Object

	build api.Build
	// name is that of the file to write.
	name  string
	fetch func(ctx context.Context, b api.Build, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error
}

// choose returns the file that the options ask for.
func (o *options) choose(client *api.Client, b api.Build) (file, error) {
	if !o.artifacts {
		return resultOf(client, b)
	}
	archive := b.Artifacts.Object()
	switch {
	case archive != nil:
		return file{Object: *archive, build: b, name: b.ID + "-" + baseName(b, archive.Name), fetch: client.Builds.DownloadArtifacts}, nil
	case b.Artifacts != nil:
		return file{}, fmt.Errorf("build %s: %s", b.ID, b.Artifacts.Problem)
	case !b.Final():
		return file{}, fmt.Errorf("build %s is %s and has no artifacts yet. Wait for it: freeagent logs -f %s", b.ID, b.Status, b.ID)
	}
	return file{}, fmt.Errorf("build %s kept no files besides its result. Name them in buildArtifactPaths of eas.json or artifacts of freeagent.json", b.ID)
}

func resultOf(client *api.Client, b api.Build) (file, error) {
	if b.Result == nil {
		return file{}, noResult(b)
	}
	return file{Object: *b.Result, build: b, name: baseName(b, b.Result.Name), fetch: client.Builds.DownloadResult}, nil
}

// baseName returns a name without any directory: the server must not choose where files are written.
func baseName(b api.Build, name string) string {
	name = filepath.Base(filepath.Clean("/" + name))
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

// To downloads a build's result to output. The file appears under its name only when it is complete
// and verified.
func To(ctx context.Context, s session.IO, client *api.Client, b api.Build, output string, force bool) error {
	result, err := resultOf(client, b)
	if err != nil {
		return err
	}
	return result.to(ctx, s, output, force)
}

func (f file) to(ctx context.Context, s session.IO, output string, force bool) error {
	if _, err := os.Stat(output); err == nil && !force {
		return fmt.Errorf("%s already exists. Overwrite it with --force, or choose another file with --output", output)
	}
	part := output + ".part"
	if err := f.download(ctx, s, part); err != nil {
		return err
	}
	if err := os.Rename(part, output); err != nil {
		return fmt.Errorf("write %s: %w", output, err)
	}
	fmt.Fprintf(s.Out, "%s  %s\n", output, show.Size(f.Size))
	return nil
}

func (f file) download(ctx context.Context, s session.IO, part string) (err error) {
	to, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	offset, seen, err := resume(to, f.Size)
	if err != nil {
		return err
	}
	p := show.NewProgress(s, "downloading", f.Size-offset)
	err = f.fetch(ctx, f.build, to, offset, seen, p.Add)
	p.Done()
	switch {
	case errors.Is(err, api.ErrCorrupt):
		return errors.Join(fmt.Errorf("download of %s: %w. Run the command again to start over", f.build.ID, err), os.Remove(part))
	case ctx.Err() != nil:
		return &session.ExitError{Code: session.ExitInterrupted, Err: fmt.Errorf("interrupted. Run the same command again to resume from %s", part)}
	case err != nil:
		return fmt.Errorf("download of %s: %w", f.build.ID, err)
	}
	if err := to.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	return nil
}

// resume hashes the bytes of an interrupted download and returns their number, so that the whole
// file is verified.
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
