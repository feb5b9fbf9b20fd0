// Package appversion puts a build number into an app's native project, after prebuild and before
// the native build: versionCode into android/app/build.gradle, CFBundleVersion into the Info.plist
// files of the Xcode project.
//
// The native project is edited, not the app config: that works for app.json, app.config.js and
// projects that have android and ios in their source alike.
package appversion

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Report is what Set did, for the build's log.
type Report struct {
	Changes, Warnings []string
}

func (r *Report) changed(format string, args ...any) {
	r.Changes = append(r.Changes, fmt.Sprintf(format, args...))
}

func (r *Report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// Set puts the number into the native project of the app. A project without a place for it is a warning, not an error. It follows no
// link out of app.
func Set(app *os.Root, p build.Platform, number string) (Report, error) {
	var r Report
	if err := build.CheckNumber(p, number); err != nil {
		return r, err
	}
	edit := setAndroid
	if p == build.IOS {
		edit = setIOS
	}
	if err := edit(app, number, &r); err != nil {
		return r, fmt.Errorf("set the build number: %w", err)
	}
	return r, nil
}

// maxFile bounds a file that is edited, in bytes.
const maxFile = 16 << 20

// read returns a regular file, and nil if there is none or a link leads out of the app.
func read(app *os.Root, name string) ([]byte, error) {
	info, err := app.Stat(name)
	if err != nil {
		if _, linked := app.Lstat(name); errors.Is(err, fs.ErrNotExist) || linked == nil {
			return nil, nil
		}
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, nil
	}
	return app.ReadFile(name)
}

// write replaces a file. Another name of the same file, such as one in a cache, keeps its content.
func write(app *os.Root, name string, data []byte) error {
	info, err := app.Stat(name)
	if err != nil {
		return err
	}
	if err := app.Remove(name); err != nil {
		return err
	}
	return app.WriteFile(name, data, info.Mode().Perm()|0o200)
}

// inApp returns the path of a file that a native project in dir names, and whether it is in the app.
func inApp(dir, name string) (string, bool) {
	p := path.Join(dir, name)
	return p, fs.ValidPath(p) && !path.IsAbs(name)
}
