// Package appjson checks the static app config of an Expo app (app.json or app.config.json) for
// faults that would otherwise show minutes into a build: JSON5 that Expo cannot read, and files that
// it names and that are missing.
//
// A dynamic config (app.config.js, app.config.ts) may change everything that the static one says, so
// with one the named files are not checked.
package appjson

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// maxFile bounds the file, in bytes.
const maxFile = 4 << 20

// Missing is a file that the app config names and that a build would not have.
type Missing struct {
	// Config is the config's path, Line that of the value in it.
	Config string
	Line   int
	// Key leads to the value, such as "expo.ios.icon".
	Key string
	// Path is the missing file, relative to the tree.
	Path string
}

// String says where the file is named.
func (m Missing) String() string {
	return fmt.Sprintf("%s:%d: %s names %s", m.Config, m.Line, m.Key, m.Path)
}

// Check reads the static config of the app in dir, a slash path of tree, and returns the files that a
// build for the platform needs and that exists denies. It returns a *jsonfile.SyntaxError if Expo
// cannot read the config, and nothing if there is none.
func Check(tree fs.FS, dir, platform string, exists func(path string) bool) ([]Missing, error) {
	name, data, err := read(tree, dir)
	if err != nil || name == "" {
		return nil, err
	}
	config, err := jsonfile.Parse5(name, data)
	if err != nil {
		return nil, err
	}
	if isDynamic(tree, dir) {
		return nil, nil
	}
	c := checker{dir: dir, name: name, data: data, exists: exists}
	root, prefix := config, ""
	if expo, ok := config.Get("expo"); ok {
		root, prefix = expo, "expo."
	}
	c.values(root, prefix, fileKeys(platform))
	if !isDir(tree, path.Join(dir, platform)) { // else the native project is not generated
		c.values(root, prefix, imageKeys(platform))
		c.plugins(root, prefix, platform)
	}
	return c.missing, nil
}

// read returns the static config that Expo reads, "" if there is none.
func read(tree fs.FS, dir string) (name string, data []byte, err error) {
	for _, base := range []string{"app.config.json", "app.json"} {
		name := path.Join(dir, base)
		info, err := fs.Stat(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
			return "", nil, fmt.Errorf("%s is not a file of at most %d MiB", name, maxFile>>20)
		}
		if err == nil {
			data, err = fs.ReadFile(tree, name)
		}
		if err != nil {
			return "", nil, fmt.Errorf("read %s: %w", name, err)
		}
		return name, data, nil
	}
	return "", nil, nil
}

func isDynamic(tree fs.FS, dir string) bool { return Dynamic(tree, dir) != "" }

// dynamicNames are those of dynamic configs, in the order in which Expo looks for them.
func dynamicNames() []string {
	return []string{"app.config.ts", "app.config.mts", "app.config.cts", "app.config.js", "app.config.mjs", "app.config.cjs"}
}

func isDir(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

// fileKeys are the keys of files that a native build copies also into a native project that exists.
func fileKeys(platform string) []string { return []string{platform + ".googleServicesFile"} }

// imageKeys are the keys of images that Expo turns into native resources.
func imageKeys(platform string) []string {
	keys := []string{"icon", "splash.image", platform + ".icon", platform + ".splash.image"}
	if platform == "android" {
		return append(keys, "android.adaptiveIcon.foregroundImage", "android.adaptiveIcon.backgroundImage",
			"android.adaptiveIcon.monochromeImage", "notification.icon")
	}
	return append(keys, "ios.icon.light", "ios.icon.dark", "ios.icon.tinted", "ios.splash.tabletImage")
}

type checker struct {
	dir, name string
	data      []byte
	exists    func(string) bool
	missing   []Missing
}

func (c *checker) values(root jsonfile.Value, prefix string, keys []string) {
	for _, key := range keys {
		v, ok := root, true
		for part := range strings.SplitSeq(key, ".") {
			if v, ok = v.Get(part); !ok {
				break
			}
		}
		if ok {
			c.value(prefix+key, v)
		}
	}
}

// value checks one value. What is not a path, Expo reports.
func (c *checker) value(key string, v jsonfile.Value) {
	if v.Kind != jsonfile.String || v.Text == "" || strings.Contains(v.Text, "://") || path.IsAbs(v.Text) || strings.Contains(v.Text, `\`) {
		return
	}
	file := path.Join(c.dir, v.Text)
	if !fs.ValidPath(file) || c.exists(file) {
		return
	}
	line := jsonfile.ErrorAt(c.name, c.data, v.Offset, "").Line
	c.missing = append(c.missing, Missing{Config: c.name, Line: line, Key: key, Path: file})
}

// plugins checks the images of expo-splash-screen, which has replaced the key splash.
func (c *checker) plugins(root jsonfile.Value, prefix, platform string) {
	list, _ := root.Get("plugins")
	for _, plugin := range list.Items {
		if len(plugin.Items) != 2 || plugin.Items[0].Text != "expo-splash-screen" {
			continue
		}
		c.values(plugin.Items[1], prefix+"plugins.expo-splash-screen.",
			[]string{"image", "dark.image", platform + ".image", platform + ".dark.image"})
	}
}
