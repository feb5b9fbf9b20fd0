package submit

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/appjson"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// numbering is where the build number comes from, by eas.json.
type numbering struct {
	// remote: from the server's counter, else from the app's own files.
	remote, increment bool
}

// numberingOf reads autoIncrement and cli.appVersionSource. The warning is empty, or says what is not done.
func numberingOf(p build.Platform, resolved profile.Profile) (n numbering, warning string, err error) {
	auto := resolved.EAS.AutoIncrement
	n.increment = auto.Enabled
	switch source := sourceOf(resolved.Cli); {
	case source == easjson.VersionsRemote && auto.Field == "version":
		return n, "", session.Usage("%s: \"autoIncrement\": \"version\" cannot be used with cli.appVersionSource remote: the server counts %s only. Use true",
			easjson.Name, appjson.NumberKey(p))
	case source == easjson.VersionsRemote:
		n.remote = true
	case auto.Enabled:
		how := "cli.appVersionSource is local"
		if source == "" {
			how = "cli.appVersionSource is not set, which means local"
		}
		what := appjson.NumberKey(p)
		if auto.Field == "version" {
			what = "version"
		}
		warning = fmt.Sprintf("%s: %s, and autoIncrement does not change your files here: the build has the %s that they have. "+
			"Raise it yourself, or set cli.appVersionSource to remote", easjson.Name, how, what)
	}
	return n, warning, nil
}

func sourceOf(cli *easjson.Cli) string {
	if cli == nil {
		return ""
	}
	return cli.AppVersionSource
}

// askNumber has the submit ask for a number of the server's counter, if eas.json says so. Without a counter a terminal is asked for the
// last number, and a script is refused.
func (o *options) askNumber(ctx context.Context, client *api.Client) error {
	if !o.numbering.remote || o.RepackFrom != "" { // a repacked app keeps its number
		return nil
	}
	p := build.Platform(o.Platform)
	if o.Project == "" {
		return session.Usage("build numbers are counted by project. Name it with --project")
	}
	numbers, err := client.Numbers.Get(ctx, o.Project)
	if err != nil {
		return fmt.Errorf("read the build number of %s: %w", o.Project, err)
	}
	if numbers.Last(p) == "" {
		if err := o.startCounter(ctx, client, p); err != nil {
			return err
		}
	}
	o.BuildNumber = build.LastNumber
	if o.numbering.increment {
		o.BuildNumber = build.NextNumber
	}
	return nil
}

// startCounter asks a person for the last number used, and sets it.
func (o *options) startCounter(ctx context.Context, client *api.Client, p build.Platform) error {
	last, err := o.localNumber(p)
	if err != nil {
		return err
	}
	command := fmt.Sprintf("freeagent version set --project %s --platform %s %s%s", session.Quote(o.Project), p, last, o.connect.Args())
	if o.json || !o.io.InTTY || !o.io.ErrTTY {
		return session.Usage("%s has cli.appVersionSource remote, and the server has no %s of project %q yet. Set the last one used:\n  %s",
			easjson.Name, appjson.NumberKey(p), o.Project, command)
	}
	fmt.Fprintf(o.io.Err, "The server has no %s of project %s yet.\n", appjson.NumberKey(p), show.Safe(o.Project))
	if last, err = o.askLast(p, last); err != nil {
		return err
	}
	if _, err := client.Numbers.Set(ctx, o.Project, p, last, false); err != nil {
		return fmt.Errorf("set the %s: %w. An administrator can set it: %s", appjson.NumberKey(p), err, command)
	}
	return nil
}

// localNumber is that of the app config, or 1, as EAS assumes.
func (o *options) localNumber(p build.Platform) (string, error) {
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return "", fmt.Errorf("open the app's directory: %w", err)
	}
	defer root.Close()
	n, err := appjson.Number(root.FS(), ".", p)
	return cmp.Or(n, "1"), err
}

// errNoAnswer means that the terminal was closed at a question.
var errNoAnswer = errors.New("no answer. Nothing was submitted")

// askLast asks until the answer is a number. Return alone means the proposal.
func (o *options) askLast(p build.Platform, proposal string) (string, error) {
	in := bufio.NewReader(o.io.In)
	for {
		fmt.Fprintf(o.io.Err, "Last %s used [%s]: ", appjson.NumberKey(p), proposal)
		line, err := in.ReadString('\n')
		if err != nil && (!errors.Is(err, io.EOF) || line == "") {
			fmt.Fprintln(o.io.Err)
			return "", errNoAnswer
		}
		answer := cmp.Or(strings.TrimSpace(line), proposal)
		if err := build.CheckNumber(p, answer); err != nil {
			fmt.Fprintln(o.io.Err, show.Safe(err.Error()))
			continue
		}
		return answer, nil
	}
}
