package submit

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
)

// checkProfile resolves the profile of the app in DIR, so that a build which would fail because of it is not uploaded.
func (o *options) checkProfile() error {
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return fmt.Errorf("open the app's directory: %w", err)
	}
	defer root.Close()
	resolved, err := profile.Resolve(root.FS(), ".", o.Platform, o.Profile)
	if errors.Is(err, profile.ErrUnknown) {
		return session.Usage("%w", err)
	}
	if err != nil {
		return err
	}
	if err := resolved.LoadCustom(root.FS(), ".", o.Platform); err != nil {
		return err
	}
	o.cli = resolved.Cli
	if err := o.addLabels(&resolved); err != nil {
		return err
	}
	o.state.resolved = resolved
	if resolved.EAS != nil {
		if err := o.checkKeys(resolved); err != nil {
			return err
		}
	}
	if err := o.checkCustom(resolved); err != nil {
		return err
	}
	if len(resolved.Own.Stages) > 0 {
		return nil
	}
	return o.checkApp()
}

// checkCustom refuses a custom build whose files are not sent.
func (o *options) checkCustom(resolved profile.Profile) error {
	if resolved.Custom == nil {
		return nil
	}
	sent := o.sent()
	for _, name := range resolved.Custom.Files {
		if full := path.Join(o.project.AppPath, name); !sent(full) {
			return session.Usage("profile %q has a custom build, and %s is not sent, since it is ignored", resolved.Name, full)
		}
	}
	return nil
}

// checkKeys refuses and warns about keys of eas.json that builds do not treat as EAS does.
func (o *options) checkKeys(resolved profile.Profile) error {
	var planned, refused []string
	for _, n := range easjson.Notices(o.Platform, *resolved.EAS) {
		switch n.Key.Support {
		case easjson.Refused:
			refused = append(refused, fmt.Sprintf("%s: %s", n.Path, n.Key.Does))
		case easjson.Planned:
			planned = append(planned, n.Path)
		case easjson.Warned:
			resolved.Warnings = append(resolved.Warnings, fmt.Sprintf("%s: %s has no effect. %s", easjson.Name, n.Path, n.Key.Does))
		case easjson.Honoured, easjson.Mapped, easjson.Ignored:
		}
	}
	if len(refused) > 0 {
		return session.Usage("profile %q of %s cannot be built:\n%s", resolved.Name, easjson.Name, strings.Join(refused, "\n"))
	}
	if len(planned) > 0 {
		resolved.Warnings = append(resolved.Warnings, fmt.Sprintf("%s: builds do not apply these keys yet: %s", easjson.Name, strings.Join(planned, ", ")))
	}
	n, warning, err := numberingOf(build.Platform(o.Platform), resolved)
	if err != nil {
		return err
	}
	if o.numbering = n; warning != "" {
		resolved.Warnings = append(resolved.Warnings, warning)
	}
	for _, w := range resolved.Warnings {
		fmt.Fprintln(o.io.Err, "warning:", show.Safe(w))
	}
	return nil
}

// checkCommitted refuses a working tree that is not as committed, if eas.json asks for that.
func (o *options) checkCommitted(dirty bool) error {
	if o.cli == nil || o.cli.RequireCommit == nil || !*o.cli.RequireCommit || !dirty {
		return nil
	}
	return fmt.Errorf("%s has cli.requireCommit, and %s is not a git working tree whose files are all committed. Commit them first", easjson.Name, o.dir)
}
