package appjson

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// ErrNoStatic means that the app has no static config: there is nothing to write to.
var ErrNoStatic = errors.New("no app.json")

// NumberKey is the key of a platform's build number, such as "versionCode".
func NumberKey(p build.Platform) string {
	if p == build.IOS {
		return "buildNumber"
	}
	return "versionCode"
}

// Number returns the versionCode (Android) or buildNumber (iOS) that the static config of the app in dir has, "" if it has none that
// can be one. It returns a *jsonfile.SyntaxError if Expo cannot read the config.
func Number(tree fs.FS, dir string, p build.Platform) (string, error) {
	name, data, err := read(tree, dir)
	if err != nil || name == "" {
		return "", err
	}
	config, err := jsonfile.Parse5(name, data)
	if err != nil {
		return "", err
	}
	platform, _ := appOf(config).Get(string(p))
	value, _ := platform.Get(NumberKey(p))
	n := value.Text
	if build.CheckNumber(p, n) != nil {
		n = ""
	}
	return n, nil
}

// Dynamic returns the dynamic config of the app in dir, such as "app.config.js", which decides over the static one; "" if it has none.
func Dynamic(tree fs.FS, dir string) string {
	for _, name := range dynamicNames() {
		if _, err := fs.Stat(tree, path.Join(dir, name)); err == nil {
			return name
		}
	}
	return ""
}

// Edited is a static config with another build number.
type Edited struct {
	// Path of the file in the tree.
	Path string
	Data []byte
}

// SetNumber returns the static config of the app in dir with this build number. All else in it stays as it is, byte for byte. It
// returns ErrNoStatic if there is no such file.
func SetNumber(tree fs.FS, dir string, p build.Platform, n string) (Edited, error) {
	name, data, err := read(tree, dir)
	if err != nil {
		return Edited{}, err
	}
	if name == "" {
		return Edited{}, ErrNoStatic
	}
	config, err := jsonfile.Parse5(name, data)
	if err != nil {
		return Edited{}, err
	}
	app := appOf(config)
	if app.Kind != jsonfile.Object {
		return Edited{}, fmt.Errorf("%s is not an object", name)
	}
	plain := jsonfile.StripMark(data)
	mark := len(data) - len(plain)
	literal, key := n, NumberKey(p)
	if p == build.IOS {
		literal = strconv.Quote(n)
	}
	platform, found := app.Get(string(p))
	value, has := platform.Get(key)
	var edited []byte
	switch {
	case has:
		edited = replace(plain, value, literal)
	case found && platform.Kind == jsonfile.Object:
		edited = addMember(plain, platform, key, literal)
	case !found:
		edited = addMember(plain, app, string(p), fmt.Sprintf("{ %q: %s }", key, literal))
	}
	if edited == nil {
		return Edited{}, fmt.Errorf("%s: cannot edit %s.%s", name, p, key)
	}
	return Edited{Path: name, Data: slices.Concat(data[:mark], edited)}, nil
}

// appOf is the object that has the app's settings: "expo", or the whole file.
func appOf(config jsonfile.Value) jsonfile.Value {
	if expo, ok := config.Get("expo"); ok {
		return expo
	}
	return config
}

// replace puts literal where a value is; nil for a value that is neither text nor a number.
func replace(data []byte, v jsonfile.Value, literal string) []byte {
	end := v.Offset + len(v.Text)
	switch v.Kind {
	case jsonfile.Number:
	case jsonfile.String:
		quote := data[v.Offset]
		for end = v.Offset + 1; end < len(data) && data[end] != quote; end++ {
			if data[end] == '\\' {
				end++
			}
		}
		end++
	default:
		return nil
	}
	return slices.Concat(data[:v.Offset], []byte(literal), data[end:])
}

// addMember puts a member before those of an object, indented as its first one is.
func addMember(data []byte, object jsonfile.Value, key, literal string) []byte {
	at := object.Offset + 1
	member := strconv.Quote(key) + ": " + literal
	if len(object.Members) == 0 {
		return slices.Concat(data[:at], []byte(" "+member+" "), data[at:])
	}
	first := object.Members[0].Offset
	space := data[at:first]
	for _, c := range space {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' { // a comment
			space = []byte(" ")
			break
		}
	}
	return slices.Concat(data[:at], space, []byte(member+","), data[at:])
}
