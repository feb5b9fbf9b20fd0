package submit

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
)

// allPlatforms is what --platform is called for both.
const allPlatforms = "all"

// NewBuild returns `freeagent build`: submit for people, which waits on a terminal and builds both platforms.
func NewBuild(streams session.IO) *cobra.Command {
	o := &options{io: streams}
	var wait, noWait bool
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Build an app: submit it, print its log and wait for the result",
		Long: `Builds the app in DIR (default: the current directory) with a profile of eas.json, as "eas build" does.

What is sent is what git would send, of the workspace that the app belongs to (freeagent inspect lists it). The profile, the app's
configuration and the lock file are checked before anything is sent (freeagent config prints the profile).

On a terminal the command prints the log and waits for the end; otherwise it ends once the build is submitted, unless --wait is set. With
--platform all it submits both builds, and then waits for one after the other. Ctrl-C stops waiting; the builds continue.`,
		Example: `  freeagent build -p android --profile preview
  freeagent build -p all --no-wait
  freeagent build -p ios --profile production --wait --output app.tar.gz
  freeagent build apps/mobile -p android --reuse`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) == 1 {
				o.dir = args[0]
			}
			if wait && noWait {
				return session.Usage("--wait and --no-wait exclude each other")
			}
			o.follow = o.follow || wait || !noWait && o.io.OutTTY && !o.json
			if noWait {
				o.follow = false
			}
			return buildPlatforms(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	addFlags(o, f)
	f.Lookup("platform").Usage = "ios, android or all"
	f.Lookup("follow").Hidden = true // --wait of submit
	f.BoolVar(&wait, "wait", false, "print the log and wait for the end (the default on a terminal)")
	f.BoolVar(&noWait, "no-wait", false, "end once the build is submitted")
	return cmd
}

func buildPlatforms(ctx context.Context, o *options) error {
	if o.Platform == "" {
		return session.Usage("which platform? Name it: freeagent build --platform android, ios or all")
	}
	if o.Platform != allPlatforms {
		return run(ctx, o)
	}
	switch {
	case o.output != "":
		return session.Usage("--output is one file, and --platform all makes two results. Download them afterwards, or build one platform")
	case o.certs != "":
		return session.Usage("--certs is for ios: build one platform at a time")
	}
	var both []*options
	for _, platform := range []string{"android", "ios"} {
		one := *o
		one.Platform = platform
		if err := prepare(ctx, &one); err != nil {
			return err
		}
		both = append(both, &one)
	}
	var follows []func(context.Context) error
	var errs []error
	for _, one := range both {
		follow, err := start(ctx, one)
		if err != nil {
			errs = append(errs, err)
			break
		}
		if follow != nil {
			follows = append(follows, follow)
		}
	}
	for _, follow := range follows {
		errs = append(errs, follow(ctx))
	}
	return joined(errs)
}

// joined is one error of several, with the exit code of the first.
func joined(errs []error) error {
	all := errors.Join(errs...)
	var exit *session.ExitError
	if !errors.As(all, &exit) {
		return all
	}
	var texts []error
	for _, err := range errs {
		if e := new(session.ExitError); errors.As(err, &e) {
			err = e.Err
		}
		texts = append(texts, err)
	}
	return &session.ExitError{Code: exit.Code, Err: errors.Join(texts...)}
}
