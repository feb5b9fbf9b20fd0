package appversion

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	bundleVersion = regexp.MustCompile(`(<key>\s*CFBundleVersion\s*</key>\s*)(<string>[^<]*</string>|<string\s*/>)`)
	firstDict     = regexp.MustCompile(`<dict>[ \t]*(\r?\n)?`)
	// infoFile is the Info.plist of a target, projectVersion its CURRENT_PROJECT_VERSION.
	infoFile       = regexp.MustCompile(`(?m)^\s*INFOPLIST_FILE = ("(?:[^"\\]|\\.)*"|[^;"]*);`)
	projectVersion = regexp.MustCompile(`(?m)^(\s*CURRENT_PROJECT_VERSION = )("(?:[^"\\]|\\.)*"|[^;"]*);`)
)

// setIOS sets the number in the Info.plist of every target: Apple wants extensions to have that of their app. It sets
// CURRENT_PROJECT_VERSION, too, which targets without an Info.plist of their own have.
func setIOS(app *os.Root, number string, r *Report) error {
	projects, err := fs.Glob(app.FS(), "ios/*.xcodeproj/project.pbxproj")
	if err != nil {
		return fmt.Errorf("look for Xcode projects: %w", err)
	}
	var plists []string
	for _, name := range projects {
		data, err := read(app, name)
		if err != nil {
			return err
		}
		plists = append(plists, infoFiles(data)...)
		edited := projectVersion.ReplaceAll(data, []byte("${1}"+number+";"))
		if bytes.Equal(edited, data) {
			continue
		}
		r.changed("%s: CURRENT_PROJECT_VERSION %s", name, number)
		if err := write(app, name, edited); err != nil {
			return err
		}
	}
	slices.Sort(plists)
	for _, name := range slices.Compact(plists) {
		if err := setPlist(app, name, number, r); err != nil {
			return err
		}
	}
	if len(r.Changes)+len(r.Warnings) == 0 {
		r.warn("no Xcode project in ios has an Info.plist: the app keeps its own buildNumber, not %s", number)
	}
	return nil
}

// infoFiles returns the Info.plist files that an Xcode project names, relative to its directory.
func infoFiles(project []byte) (names []string) {
	for _, m := range infoFile.FindAllSubmatch(project, -1) {
		name := strings.ReplaceAll(strings.Trim(string(m[1]), `"`), `\"`, `"`)
		for _, prefix := range []string{"$(SRCROOT)/", "${SRCROOT}/", "$(PROJECT_DIR)/", "${PROJECT_DIR}/"} {
			name = strings.TrimPrefix(name, prefix)
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func setPlist(app *os.Root, name, number string, r *Report) error {
	file, ok := inApp("ios", name)
	if !ok || strings.Contains(name, "$") {
		r.warn("%s is not a path in the app: it keeps its own CFBundleVersion, not %s", path.Join("ios", name), number)
		return nil
	}
	data, err := read(app, file)
	if err != nil {
		return err
	}
	edited := setBundleVersion(data, number)
	if edited == nil {
		r.warn("%s is no property list in XML: it keeps its own CFBundleVersion, not %s", file, number)
		return nil
	}
	r.changed("%s: CFBundleVersion %s", file, number)
	return write(app, file, edited)
}

// setBundleVersion returns a property list with this CFBundleVersion, and nil if data is none in XML.
func setBundleVersion(data []byte, number string) []byte {
	if bundleVersion.Match(data) {
		return bundleVersion.ReplaceAll(data, []byte("${1}<string>"+number+"</string>"))
	}
	at := firstDict.FindIndex(data)
	if len(at) == 0 || !bytes.Contains(data[:at[0]], []byte("<plist")) {
		return nil
	}
	return slices.Concat(data[:at[1]], []byte("\t<key>CFBundleVersion</key>\n\t<string>"+number+"</string>\n"), data[at[1]:])
}
