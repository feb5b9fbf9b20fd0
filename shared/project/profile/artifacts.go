package profile

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
)

// maxArtifactGlobs bounds the globs of a profile: each one is a walk through the source.
const maxArtifactGlobs = 100

// findArtifacts sets the profile's globs of artifacts. Those of freeagent.json replace those of eas.json. A faulty one of freeagent.json is
// ErrProject. One of eas.json is a warning, since EAS would build the app, too.
func (p *Profile) findArtifacts(app string) error {
	file, globs := FileName, p.Own.Artifacts
	if globs == nil && p.EAS != nil {
		file, globs = easjson.Name, p.EAS.BuildArtifactPaths
	}
	for i, glob := range globs {
		clean, why := artifactGlob(app, glob)
		if i >= maxArtifactGlobs {
			why = fmt.Sprintf("is one of more than %d", maxArtifactGlobs)
		}
		switch {
		case why == "":
			p.Artifacts = append(p.Artifacts, clean)
		case file == FileName:
			return problem{fmt.Sprintf("%s: profile %q: artifacts: %.200q %s", file, p.Name, glob, why)}
		default:
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s: profile %q: buildArtifactPaths: %.200q %s. Nothing is kept for it.", file, p.Name, glob, why))
		}
		if i >= maxArtifactGlobs {
			break
		}
	}
	return nil
}

// artifactGlob returns a glob as a slash path below the root of the source, or why it cannot be one. app is the app's directory.
func artifactGlob(app, glob string) (clean, why string) {
	glob = strings.TrimSpace(glob)
	switch {
	case glob == "":
		return "", "is empty"
	case path.IsAbs(glob), filepath.IsAbs(glob):
		return "", "is not relative to the app's directory"
	case strings.Contains(glob, "\\"):
		return "", `has a backslash; separate directories by "/"`
	}
	// A ".." after a wildcard would be taken away with it.
	if n := strings.IndexAny(glob, "*?[{"); n >= 0 && strings.Contains("/"+glob[n:]+"/", "/../") {
		return "", `has ".." after a wildcard`
	}
	clean = path.Join(app, glob)
	switch {
	case !filepath.IsLocal(filepath.FromSlash(clean)):
		return "", "leads out of the source"
	case strings.Count(clean, "**") > maxDoubleStars:
		return "", fmt.Sprintf("has more than %d **", maxDoubleStars)
	case !doublestar.ValidatePattern(clean):
		return "", "is not a glob"
	}
	return clean, ""
}

// maxDoubleStars bounds the work of matching, which each "**" multiplies.
const maxDoubleStars = 3
