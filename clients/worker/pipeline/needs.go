package pipeline

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// Need is a tool that the project asks for.
type Need struct {
	// Name is node or that of a package manager.
	Name string
	// Range of versions as npm writes it; empty: any.
	Range string
	// From says what asks for it: "eas.json".
	From string
	// Advice means that a build without it may succeed: package managers only warn about engines.
	Advice bool
}

// needs returns the versions of Node.js and of the package manager that the project asks for. The order is that of EAS: the profile of eas.json,
// then files of the project.
func (p *project) needs(in workspace.Install, eas *easjson.Profile) (needs []Need, warnings []string) {
	node, warning := p.nodeNeed(in.Dir, eas)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return []Need{node, p.managerNeed(in, eas)}, warnings
}

// explicitNeeds are the versions that a project with stages of its own asks for. What its lock file implies is no matter of ours: its stages
// may not use the package manager at all.
func (p *project) explicitNeeds(eas *easjson.Profile) (needs []Need, warnings []string) {
	in, err := workspace.InstallOf(p.tree, p.app)
	if err != nil {
		return nil, nil // a project without package.json
	}
	all, warnings := p.needs(in, eas)
	for _, n := range all {
		if n.Range != "" && n.From != path.Base(in.LockFile) {
			needs = append(needs, n)
		}
	}
	return needs, warnings
}

func (p *project) nodeNeed(root string, eas *easjson.Profile) (n Need, warning string) {
	if eas != nil && eas.Node != "" {
		return Need{Name: "node", Range: eas.Node, From: easjson.Name}, ""
	}
	for _, dir := range []string{p.app, root} {
		for _, name := range []string{".nvmrc", ".node-version"} {
			data, err := fs.ReadFile(p.tree, path.Join(dir, name))
			if err != nil || len(data) > 1000 {
				continue
			}
			versions, ok := nvmVersion(string(data))
			if !ok {
				warning = fmt.Sprintf("%s asks for Node.js %.40q, which is not a version that Free Agent knows; it is ignored", name, strings.TrimSpace(string(data)))
			}
			return Need{Name: "node", Range: versions, From: name}, warning
		}
	}
	if versions := p.pkg.Engines["node"]; versions != "" {
		return Need{Name: "node", Range: versions, From: engines, Advice: true}, ""
	}
	if pkg, err := workspace.ReadPackage(p.tree, root); err == nil && pkg.Engines["node"] != "" {
		return Need{Name: "node", Range: pkg.Engines["node"], From: engines, Advice: true}, ""
	}
	return Need{Name: "node"}, ""
}

// engines is where package.json says which Node.js a package is for.
const engines = "engines of package.json"

// ltsMajors are the names of Node.js's lines (https://github.com/nodejs/Release).
var ltsMajors = map[string]string{ //nolint:gochecknoglobals // a table
	"gallium": "16", "hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24",
}

var plainVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}$`)

// nvmVersion reads a version as nvm writes it (https://github.com/nvm-sh/nvm#nvmrc). Names for the newest version ask for nothing.
func nvmVersion(text string) (versions string, ok bool) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.TrimPrefix(strings.TrimSpace(text), "v")
	switch lts, isLTS := strings.CutPrefix(text, "lts/"); {
	case isLTS && ltsMajors[lts] != "":
		return ltsMajors[lts], true
	case text == "node", text == "stable", text == "lts/*":
		return "", true
	case plainVersion.MatchString(text):
		return text, true
	}
	return "", false
}

func (p *project) managerNeed(in workspace.Install, eas *easjson.Profile) Need {
	n := Need{Name: string(in.Manager)}
	if eas != nil {
		for _, v := range []struct {
			manager  workspace.Manager
			versions string
		}{{workspace.Yarn, eas.Yarn}, {workspace.PNPM, eas.Pnpm}, {workspace.Bun, eas.Bun}} {
			if v.manager == in.Manager && v.versions != "" {
				return Need{Name: n.Name, Range: v.versions, From: easjson.Name}
			}
		}
	}
	if in.Version != "" {
		return Need{Name: n.Name, Range: in.Version, From: "packageManager of package.json"}
	}
	n.Range, n.From = in.Versions(p.tree), path.Base(in.LockFile)
	return n
}
