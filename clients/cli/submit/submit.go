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
	"github.com/spf13/pflag"

	"github.com/expo-free-agent/freeagent/clients/cli/download"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/origin"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/clients/cli/logs"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/source"
)

type options struct {
	io      session.IO
	connect session.Flags
	dir     string
	api.Submit
	certs, archive, output string
	root                   string
	// require has the labels of --require.
	require             []string
	follow, json, noGit bool
	// project is what is packed; nil if an archive is submitted.
	project *pack.Project
	// cli is the block cli of eas.json; nil without one.
	cli       *easjson.Cli
	numbering numbering
	// reuse asks for a completed build in place of a new one; notReused says why there is none.
	reuse     bool
	notReused string
	state     reuseState
	// repack is the build that is repacked, or newestBuild; empty for a native build.
	repack string
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "submit [DIR]",
		Short: "Submit an app to build",
		Long: `Packs the app in DIR (default: the current directory) and submits it.

What is sent is what git would send: tracked files and new ones that git does not ignore, of the workspace that the app belongs to,
else of the repository. An .easignore at that root takes the place of git's rules. .git and node_modules are never sent. See what
would be sent: freeagent inspect.

With --reuse, nothing is sent or built if a completed build of the project has the same sources, profile, variables and machine: its
result is yours. A development client also matches if only JavaScript has changed (same native fingerprint and lock file).

With --repack, an earlier APK or IPA gets the new JavaScript bundle in place of a native build, if the native fingerprint is the same:
with --repack=BUILD that of this build, otherwise the newest of the same profile, of this or a trusted branch. An APK is then signed with
a public debug key, an IPA not at all.

The build records the commit, branch and GitHub repository, and whether the files differ from the commit. Ctrl-C stops following;
the build continues.`,
		Example: `  freeagent submit --platform android --follow
  freeagent submit apps/mobile --platform ios --profile preview --certs certs.zip
  freeagent submit --platform android --follow --output app.tar.gz
  freeagent submit --platform android --profile preview --reuse --output app.apk
  freeagent submit --platform android --profile preview --repack --output app.apk
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
	addFlags(o, cmd.Flags())
	return cmd
}

// addFlags defines the flags of submit and build.
func addFlags(o *options, f *pflag.FlagSet) {
	o.connect.Add(f)
	f.StringVarP(&o.Platform, "platform", "p", "", "ios or android")
	f.StringVar(&o.Project, "project", "", "project name (default: slug in app.json, else name in package.json)")
	f.StringVar(&o.Profile, "profile", "", "build profile of eas.json or freeagent.json (default: production, if there is one)")
	f.StringVar(&o.Pool, "pool", "", "worker pool (default: default)")
	f.IntVar(&o.Priority, "priority", 0, "priority, higher goes first, -100 to the project's maximum (10 by default)")
	f.StringArrayVar(&o.require, "require", nil, "label KEY=VALUE that the worker must have, such as xcode=26; may be repeated. A longer version meets a shorter one")
	f.BoolVar(&o.Supersede, "supersede", false, "cancel unfinished builds of older commits of the same project, branch, platform and profile")
	f.BoolVar(&o.reuse, "reuse", false, "get a completed build of the same sources, profile and variables, if there is one, in place of a new build")
	f.StringVar(&o.repack, "repack", "", "put the new JavaScript bundle into the app of an earlier build with the same native fingerprint (default: the newest of the profile)")
	f.Lookup("repack").NoOptDefVal = newestBuild
	f.StringVar(&o.root, "root", "", "directory to pack, relative to the app, such as . or ../.. (default: \"root\" in freeagent.json, else the workspace, else the repository)")
	f.StringVar(&o.certs, "certs", "", "zip file with signing certificates")
	f.StringVar(&o.archive, "archive", "", "zip or tar.gz file to submit instead of packing DIR")
	f.StringVar(&o.Commit, "commit", "", "commit to record: an id, or a git revision in DIR (default: HEAD, marked as modified if the files differ)")
	f.StringVar(&o.Branch, "branch", "", "branch of the source (default: the branch of DIR)")
	f.StringVar(&o.Repository, "repository", "", "repository as owner/name (default: remote origin, if it is on GitHub or on GH_HOST)")
	f.BoolVar(&o.noGit, "no-git", false, "do not read commit, branch and repository from git")
	f.BoolVarP(&o.follow, "follow", "f", false, "print the log live until the build ends")
	f.StringVarP(&o.output, "output", "o", "", "file to download the result to (implies --follow)")
	f.BoolVar(&o.json, "json", false, "print JSON: the build when submitted and, with --follow, again when it ends")
}

func run(ctx context.Context, o *options) error {
	if err := prepare(ctx, o); err != nil {
		return err
	}
	follow, err := start(ctx, o)
	if err != nil || follow == nil {
		return err
	}
	return follow(ctx)
}

// prepare checks all that can be checked before anything is sent.
func prepare(ctx context.Context, o *options) error {
	if o.Platform != "ios" && o.Platform != "android" {
		return session.Usage("--platform must be ios or android (got %q)", o.Platform)
	}
	if err := o.checkOrigin(ctx); err != nil {
		return err
	}
	if err := o.addRequired("--require", o.require); err != nil {
		return err
	}
	if err := o.open(ctx); err != nil {
		return err
	}
	if err := o.readCerts(); err != nil {
		return err
	}
	return o.prepareKey()
}

// start submits the build, or gets one that is reused. follow waits for its end; it is nil if there is nothing to wait for.
func start(ctx context.Context, o *options) (follow func(context.Context) error, err error) {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return nil, err
	}
	if err := findRepack(ctx, o, client); err != nil {
		return nil, err
	}
	if err := o.askNumber(ctx, client); err != nil {
		return nil, err
	}
	if o.reuse {
		if done, err := o.reuseOrReason(ctx, client); done || err != nil {
			return nil, err
		}
	}
	sub, err := o.send(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := o.printSubmitted(sub); err != nil {
		return nil, err
	}
	if !o.follow && o.output == "" {
		return nil, nil
	}
	return func(ctx context.Context) error { return o.followToEnd(ctx, client, sub.ID) }, nil
}

// checkOrigin checks the flags on the origin, and resolves the revision in --commit.
func (o *options) checkOrigin(ctx context.Context) error {
	if o.root != "" && o.archive != "" {
		return session.Usage("--root is for a directory that is packed; --archive is packed already")
	}
	if err := errors.Join(o.checkReuse(), checkRepack(o)); err != nil {
		return err
	}
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
	return nil
}

// open lists what is packed, and fills in what git knows of it. Flags take precedence, and archives
// have no git data.
func (o *options) open(ctx context.Context) error {
	if o.archive != "" {
		return nil
	}
	project, err := pack.Open(ctx, o.dir, pack.Options{Root: o.root, Command: "freeagent build --platform " + o.Platform})
	if errors.Is(err, source.ErrRoot) {
		return session.Usage("%w", err)
	}
	if err != nil {
		return err
	}
	o.project = &project
	o.Project = cmp.Or(o.Project, project.Name)
	o.AppPath = project.AppPath
	if err := o.checkProfile(); err != nil {
		return err
	}
	modified, dirty := false, true
	if !o.noGit {
		found := origin.Of(ctx, project.Root, o.io.Getenv("GH_HOST"))
		dirty = found.Dirty || project.New > 0 || found.Commit == ""
		modified = project.Modified(found)
		o.Modified = modified && o.Commit == "" // --commit is the caller's word
		o.Commit = cmp.Or(o.Commit, found.Commit)
		o.Branch = cmp.Or(o.Branch, found.Branch)
		o.Repository = cmp.Or(o.Repository, found.Repository)
	}
	if err := o.checkCommitted(dirty); err != nil {
		return err
	}
	o.printProject(modified)
	return nil
}

func (o *options) printProject(modified bool) {
	for _, w := range o.project.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	if o.json {
		return
	}
	p := o.project
	app := cmp.Or(p.AppPath, ".")
	fmt.Fprintf(o.io.Err, "root: %s, app: %s\n", show.Safe(p.Root), show.Safe(app))
	fmt.Fprintf(o.io.Err, "packing %s files, %s (%s)\n", show.Count(len(p.Files)), show.Size(p.Bytes()), p.Counts(modified))
	if o.Modified {
		for _, d := range p.Differs {
			fmt.Fprintln(o.io.Err, "note:", show.Safe(d))
		}
		fmt.Fprintf(o.io.Err, "note: the files differ from commit %.12s, so the build is marked as modified\n", o.Commit)
	}
}

// nearLimit is the share of the largest archive from which the largest folders are named, in percent.
const nearLimit = 80

// limit is told the size of the largest archive that the server takes.
func (o *options) limit(most int64) {
	if o.project == nil || o.json || most <= 0 || o.project.Bytes() < most/100*nearLimit {
		return
	}
	fmt.Fprintf(o.io.Err, "note: %s before compression; the server takes at most %s compressed. The largest folders: %s\n",
		show.Size(o.project.Bytes()), show.Size(most), show.Safe(o.project.LargestFolders()))
}

func (o *options) send(ctx context.Context, client *api.Client) (api.Submitted, error) {
	content, name, err := o.content(ctx)
	if err != nil {
		return api.Submitted{}, err
	}
	defer content.Close()
	p := show.NewProgress(o.io, "uploading", 0)
	o.Source, o.SourceName, o.Progress, o.Limit = content, name, p.Add, o.limit
	sub, err := client.Builds.Submit(ctx, o.Submit)
	p.Done()
	if ctx.Err() != nil {
		return sub, &session.ExitError{Code: session.ExitInterrupted, Err: errors.New("interrupted during the upload. Nothing was submitted")}
	}
	if errors.Is(err, build.ErrTooLarge) && o.project != nil {
		return sub, fmt.Errorf("submit: %w\nThe largest folders: %s. Name what the build does not need in .gitignore or .easignore, or send less with --root",
			err, show.Safe(o.project.LargestFolders()))
	}
	if err != nil {
		return sub, fmt.Errorf("submit: %w", err)
	}
	if !o.json {
		fmt.Fprintf(o.io.Err, "uploaded %s\n", show.Size(p.Bytes()))
	}
	return sub, nil
}

// content opens the archive, or packs the project as it is uploaded.
func (o *options) content(ctx context.Context) (io.ReadCloser, string, error) {
	if o.archive != "" {
		f, err := os.Open(o.archive)
		if err != nil {
			return nil, "", fmt.Errorf("archive: %w", err)
		}
		return f, o.archive, nil
	}
	pr, pw := io.Pipe()
	go func() {
		_, err := o.project.Write(ctx, pw, o.state.sent)
		pw.CloseWithError(err)
	}()
	return pr, "source.tar.gz", nil
}

func (o *options) printSubmitted(sub api.Submitted) error {
	switch {
	case o.json && o.reuse:
		return show.JSON(o.io.Out, submitted{Submitted: sub, NotReused: o.notReused})
	case o.json:
		return show.JSON(o.io.Out, sub)
	}
	fmt.Fprintf(o.io.Out, "Submitted build %s.\n", sub.ID)
	if o.RepackFrom != "" && sub.RepackFrom != o.RepackFrom {
		fmt.Fprintln(o.io.Err, "warning: a part of the server is older than this client and makes a native build")
	}
	if sub.BuildNumber != "" {
		fmt.Fprintf(o.io.Out, "Build number %s.\n", show.Safe(sub.BuildNumber))
	}
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
	if archive := b.Artifacts.Object(); archive != nil && !o.json {
		fmt.Fprintf(o.io.Out, "Artifacts: %d files, %s. Download them: freeagent download %s --artifacts\n", b.Artifacts.Files, show.Size(archive.Size), b.ID)
	}
	if err := errors.Join(err, show.Outcome(b)); err != nil {
		return err
	}
	if o.output == "" {
		return nil
	}
	return download.To(ctx, logIO, client, b, o.output, false)
}
