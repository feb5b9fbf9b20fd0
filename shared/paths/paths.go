// Package paths says where the product keeps its files when nobody says otherwise.
package paths

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// DataDir is the default data directory of `freeagent up`: ~/Library/Application Support/FreeAgent on a Mac, else
// $XDG_DATA_HOME/freeagent or ~/.local/share/freeagent. getenv is os.Getenv.
func DataDir(getenv func(string) string) (string, error) {
	const name = "server"
	if runtime.GOOS != "darwin" {
		if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
			return filepath.Join(data, "freeagent", name), nil
		}
	}
	home := getenv("HOME")
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return "", fmt.Errorf("no home directory: %w", err)
		}
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "FreeAgent", name), nil
	}
	return filepath.Join(home, ".local", "share", "freeagent", name), nil
}

// AdminKeyFile is where the admin key of a data directory is.
func AdminKeyFile(dataDir string) string { return filepath.Join(dataDir, "admin.key") }
