// Package inspect is `freeagent inspect`.
package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/origin"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/pack"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/project/source"
)

type options struct {
	io        session.IO
	dir, root string
	json      bool
}

// Report is what --json prints.
type Report struct {
	Project string `json:"project"`
	// Root is the directory that is sent, App that of the app; AppPath leads from one to the other
	// with slashes, and is empty if they are the same.
	Root    string `json:"root"`
	App     string `json:"app"`
	AppPath string `json:"app_path"`
	// Selection is whose rules chose the files: "git", ".easignore" or ".gitignore".
	Selection source.Selection `json:"selection"`
	// Bytes is the size of all files, before compression.
	Bytes int64 `json:"bytes"`
	// Tracked and New count the files that git tracks and those that it does not.
	Tracked int `json:"tracked"`
	New     int `json:"new"`
	// Commit is that of the repository. Modified means that what is sent differs from it.
	Commit   string          `json:"commit,omitempty"`
	Modified bool            `json:"modified"`
	Files    []source.File   `json:"files"`
	Dirs     []string        `json:"empty_directories"`
	Folders  []source.Folder `json:"largest_folders"`
	Warnings []string        `json:"warnings"`
}

// New returns the command.
func New(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	cmd := &cobra.Command{
		Use:   "inspect [DIR]",
		Short: "Show what a submit would send",
		Long: `Shows what "freeagent submit" would send of the app in DIR (default: the current directory): the root, the app's path below it,
the number and size of the files, the largest ones, and warnings. Needs no server.`,
		Example: `  freeagent inspect apps/mobile
  freeagent inspect --json | jq -r '.files[].path'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.root, "root", "", "directory to pack, relative to the app, such as . or ../.. (default: \"root\" in freeagent.json, else the workspace, else the repository)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, with every file")
	return cmd
}

// most bounds the folders and files that are listed.
const most = 10

func run(ctx context.Context, o *options) error {
	p, err := pack.Open(ctx, o.dir, pack.Options{Root: o.root, Command: "freeagent inspect"})
	if errors.Is(err, source.ErrRoot) {
		return session.Usage("%w", err)
	}
	if err != nil {
		return err
	}
	found := origin.Of(ctx, p.Root, o.io.Getenv("GH_HOST"))
	modified := p.Modified(found)
	if o.json {
		return show.JSON(o.io.Out, Report{
			Project: p.Name, Root: p.Root, App: p.App, AppPath: p.AppPath, Selection: p.Selection, Bytes: p.Bytes(), Tracked: p.Tracked, New: p.New,
			Commit: found.Commit, Modified: modified, Files: list(p.Files), Dirs: list(p.Dirs), Folders: list(p.Largest(most)), Warnings: list(p.Warnings),
		})
	}
	o.print(p, modified)
	return nil
}

// list makes an empty list of nil, for JSON.
func list[T any](all []T) []T { return append([]T{}, all...) }

func (o *options) print(p pack.Project, modified bool) {
	w := o.io.Out
	fmt.Fprintf(w, "Project:  %s\n", show.Safe(p.Name))
	fmt.Fprintf(w, "Root:     %s\n", show.Safe(p.Root))
	fmt.Fprintf(w, "App:      %s\n", show.Safe(cmp.Or(p.AppPath, ".")))
	fmt.Fprintf(w, "Files:    %s, %s before compression (%s)\n", show.Count(len(p.Files)), show.Size(p.Bytes()), p.Counts(modified))
	if folders := p.Largest(most); len(folders) > 0 {
		fmt.Fprintln(w, "\nLargest folders:")
		for _, f := range folders {
			fmt.Fprintf(w, "  %10s  %s (files: %s)\n", show.Size(f.Bytes), show.Safe(f.Path), show.Count(f.Files))
		}
	}
	files := slices.Clone(p.Files)
	slices.SortStableFunc(files, func(a, b source.File) int { return cmp.Compare(b.Size, a.Size) })
	fmt.Fprintln(w, "\nLargest files:")
	for _, f := range files[:min(most, len(files))] {
		fmt.Fprintf(w, "  %10s  %s\n", show.Size(f.Size), show.Safe(f.Path))
	}
	for _, text := range p.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(text))
	}
}
