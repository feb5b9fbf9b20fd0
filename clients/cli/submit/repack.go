package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/fingerprint"
)

// newestBuild is the value of --repack without one: no build has this id.
const newestBuild = "newest"

// checkRepack refuses flags that --repack has no answer for.
func checkRepack(o *options) error {
	switch {
	case o.repack == "":
		return nil
	case o.reuse:
		return session.Usage("--repack and --reuse exclude each other: a reused build is the earlier one, a repacked one has new JavaScript")
	case o.repack != newestBuild && !build.ValidID(o.repack):
		return session.Usage("--repack=%q: want the id of a build. List builds with \"freeagent list\"", o.repack)
	}
	return nil
}

// findRepack has the submit name the build that is repacked. Nothing is sent if there is none.
func findRepack(ctx context.Context, o *options, client *api.Client) error {
	if o.repack == "" {
		return nil
	}
	if o.Project == "" {
		return session.Usage("builds are repacked within their project. Name it with --project")
	}
	if p := o.state.resolved; p.EAS != nil && p.EAS.DevelopmentClient != nil && *p.EAS.DevelopmentClient {
		return session.Usage("profile %q makes a development client, which loads its JavaScript when it runs: there is nothing to repack. Use --reuse", p.Name)
	}
	in := api.FindRepack{Project: o.Project, Platform: o.Platform, Profile: o.Profile, Branch: o.Branch}
	if o.repack != newestBuild {
		in.BuildID = o.repack
	} else if o.project != nil {
		// Only a preference: packages of this machine may be older than the lock file. The worker compares.
		in.Fingerprint, _ = fingerprint.Of(ctx, o.project.App, build.Platform(o.Platform), o.state.resolved.Env)
	}
	found, err := client.Builds.FindRepack(ctx, in)
	var refused *api.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed) {
		return session.Usage("the server is older than this client and cannot repack. Submit without --repack")
	}
	if err != nil {
		return fmt.Errorf("look for a build to repack: %w", err)
	}
	if found.BuildID == "" {
		return fmt.Errorf("nothing was submitted: %s. Submit a native build, without --repack", show.Safe(found.Reason))
	}
	o.RepackFrom = found.BuildID
	if !o.json {
		fmt.Fprintf(o.io.Err, "repacking build %s, which passed %s: its native part stays, %s\n", found.BuildID, show.Ago(found.FinishedAt, o.io.Now()),
			build.RepackSigning(build.Platform(o.Platform)))
	}
	return nil
}
