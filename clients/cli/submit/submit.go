// Package submit is `freeagent submit`.
package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/download"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/origin"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/clients/cli/logs"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type options struct {
	io      session.IO
	connect session.Flags
	dir     string
	api.Submit
	certs, archive, output string
	follow, json, noGit    bool
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "submit [DIR]",
		Short: "Submit an app to build",
		Long: `Packs the app in DIR (default: the current directory) and submits it. Leaves out .git, node_modules, and everything that
.gitignore files (or .easignore) name. The build records the commit, branch and GitHub repository of DIR, but no commit if DIR
has uncommitted changes. Ctrl-C stops following; the build continues.`,
		Example: `  freeagent submit --platform android --follow
  freeagent submit apps/mobile --platform ios --profile preview --certs certs.zip
  freeagent submit --platform android --follow --output app.tar.gz
  freeagent submit --platform ios --json | jq -r .id`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			return run(cmd.Context(), o)
		},
	}
	o.connect.Add(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&o.Platform, "platform", "p", "", "ios or android")
	f.StringVar(&o.Project, "project", "", "project name (default: slug in app.json, else name in package.json)")
	f.StringVar(&o.Profile, "profile", "", "build profile of eas.json or freeagent.json (default: production, if there is one)")
	f.StringVar(&o.Pool, "pool", "", "worker pool (default: default)")
	f.IntVar(&o.Priority, "priority", 0, "priority, higher goes first, -100 to the project's maximum (10 by default)")
	f.BoolVar(&o.Supersede, "supersede", false, "cancel unfinished builds of older commits of the same project, branch, platform and profile")
	f.StringVar(&o.certs, "certs", "", "zip file with signing certificates")
	f.StringVar(&o.archive, "archive", "", "zip or tar.gz file to submit instead of packing DIR")
	f.StringVar(&o.Commit, "commit", "", "commit of the source: an id, or a git revision in DIR (default: HEAD of DIR)")
	f.StringVar(&o.Branch, "branch", "", "branch of the source (default: the branch of DIR)")
	f.StringVar(&o.Repository, "repository", "", "repository as owner/name (default: remote origin, if it is on GitHub or on GH_HOST)")
	f.BoolVar(&o.noGit, "no-git", false, "do not read commit, branch and repository from git")
	f.BoolVarP(&o.follow, "follow", "f", false, "print the log live until the build ends")
	f.StringVarP(&o.output, "output", "o", "", "file to download the result to (implies --follow)")
	f.BoolVar(&o.json, "json", false, "print JSON: the build when submitted and, with --follow, again when it ends")
	return cmd
}

func run(ctx context.Context, o *options) error {
	if o.Platform != "ios" && o.Platform != "android" {
		return session.Usage("--platform must be ios or android (got %q)", o.Platform)
	}
	if err := o.checkProfile(); err != nil {
		return err
	}
	if err := o.resolveOrigin(ctx); err != nil {
		return err
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	sub, err := o.send(ctx, client)
	if err != nil {
		return err
	}
	if err := o.printSubmitted(sub); err != nil {
		return err
	}
	if !o.follow && o.output == "" {
		return nil
	}
	return o.followToEnd(ctx, client, sub.ID)
}

// resolveOrigin fills in commit, branch and repository from git. Flags take precedence, and
// archives have no git data.
func (o *options) resolveOrigin(ctx context.Context) error {
	if o.Commit != "" && !o.noGit {
		commit, err := origin.Commit(ctx, o.dir, o.Commit)
		if err != nil {
			return session.Usage("--commit %q: %w in %s. Use the full commit id", o.Commit, err, o.dir)
		}
		o.Commit = commit
	}
	if err := o.Origin.Check(); err != nil {
		return session.Usage("%w", err)
	}
	if o.noGit || o.archive != "" {
		return nil
	}
	found := origin.Of(ctx, o.dir, o.io.Getenv("GH_HOST"))
	if found.Dirty && o.Commit == "" && !o.json {
		fmt.Fprintln(o.io.Err, "note: uncommitted changes, so the build records no commit. Set one with --commit")
	}
	o.Commit = cmp.Or(o.Commit, found.Commit)
	o.Branch = cmp.Or(o.Branch, found.Branch)
	o.Repository = cmp.Or(o.Repository, found.Repository)
	return nil
}

func (o *options) send(ctx context.Context, client *api.Client) (api.Submitted, error) {
	source, name, err := o.source(ctx)
	if err != nil {
		return api.Submitted{}, err
	}
	defer source.Close()
	if o.certs != "" {
		f, err := os.Open(o.certs)
		if err != nil {
			return api.Submitted{}, fmt.Errorf("certificates: %w", err)
		}
		defer f.Close()
		o.Certs = f
	}
	p := show.NewProgress(o.io, "uploading", 0)
	o.Source, o.SourceName, o.Progress = source, name, p.Add
	sub, err := client.Builds.Submit(ctx, o.Submit)
	p.Done()
	if ctx.Err() != nil {
		return sub, &session.ExitError{Code: session.ExitInterrupted, Err: errors.New("interrupted during the upload. Nothing was submitted")}
	}
	if err != nil {
		return sub, fmt.Errorf("submit: %w", err)
	}
	if !o.json {
		fmt.Fprintf(o.io.Err, "uploaded %s\n", show.Size(p.Bytes()))
	}
	return sub, nil
}

// source opens the archive, or packs the project as it is uploaded.
func (o *options) source(ctx context.Context) (io.ReadCloser, string, error) {
	if o.archive != "" {
		f, err := os.Open(o.archive)
		if err != nil {
			return nil, "", fmt.Errorf("archive: %w", err)
		}
		return f, o.archive, nil
	}
	project, err := pack.Open(o.dir)
	if err != nil {
		return nil, "", err
	}
	if o.Project == "" {
		o.Project = project.Name
	}
	for _, name := range project.LocalEnv() {
		fmt.Fprintf(o.io.Err, "warning: the archive includes %s. If it holds secrets, add it to .easignore or .gitignore\n", name)
	}
	pr, pw := io.Pipe()
	go func() {
		_, err := project.Write(ctx, pw)
		pw.CloseWithError(err)
	}()
	return pr, "source.tar.gz", nil
}

func (o *options) printSubmitted(sub api.Submitted) error {
	if o.json {
		return show.JSON(o.io.Out, sub)
	}
	fmt.Fprintf(o.io.Out, "Submitted build %s.\n", sub.ID)
	for _, w := range sub.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	for _, old := range sub.Superseded {
		fmt.Fprintf(o.io.Out, "Cancelled superseded build %s.\n", old)
	}
	if !o.follow && o.output == "" {
		fmt.Fprintf(o.io.Out, "Follow it:     freeagent logs -f %s\nThen download: freeagent download %s\n", sub.ID, sub.ID)
	}
	return nil
}

func (o *options) followToEnd(ctx context.Context, client *api.Client, id string) error {
	logIO := o.io
	if o.json { // the log goes to standard error, so that standard output stays JSON
		logIO.Out, logIO.OutTTY = o.io.Err, o.io.ErrTTY
	}
	b, err := logs.Follow(ctx, logIO, client, id)
	if err != nil {
		return err
	}
	if o.json {
		err = show.JSON(o.io.Out, b)
	} else {
		fmt.Fprintf(o.io.Out, "Build %s %s after %s.\n", b.ID, show.Status(o.io, b.Status), show.Took(b, o.io.Now()))
	}
	if err := errors.Join(err, show.Outcome(b)); err != nil {
		return err
	}
	if o.output == "" {
		return nil
	}
	return download.To(ctx, logIO, client, b, o.output, false)
}
