// Package updates sets the channel of expo-updates in the native project of an app, as EAS does before it compiles.
package updates

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

// The files and keys of expo-updates (https://docs.expo.dev/eas-update/standalone-service/).
const (
	manifest  = "android/app/src/main/AndroidManifest.xml"
	plists    = "ios/*/Supporting/Expo.plist"
	androidNS = "http://schemas.android.com/apk/res/android"

	androidHeaders = "expo.modules.updates.UPDATES_CONFIGURATION_REQUEST_HEADERS_KEY"
	androidURL     = "expo.modules.updates.EXPO_UPDATE_URL"
	iosHeaders     = "EXUpdatesRequestHeaders"
	iosURL         = "EXUpdatesURL"
	header         = "expo-channel-name"

	maxFile = 4 << 20
)

var (
	// ErrNotConfigured means that the native project does not take its updates from EAS.
	ErrNotConfigured = errors.New("the app does not take updates from EAS")
	// ErrNative means that a file of the native project cannot be read or changed.
	ErrNative = errors.New("native project")
)

// SetChannel writes the channel into the native project below app, and returns the file. platform is android or ios. Other request headers stay.
// An app without updates from EAS is ErrNotConfigured.
func SetChannel(app *os.Root, platform, channel string) (file string, err error) {
	file, edit := manifest, editManifest
	if platform == "ios" {
		found, err := fs.Glob(app.FS(), plists)
		if err != nil || len(found) == 0 {
			return "", fmt.Errorf("%w: there is no %s", ErrNative, plists)
		}
		file, edit = found[0], editPlist
	}
	info, err := app.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return "", fmt.Errorf("%w: %s is not a file of at most %d MiB", ErrNative, file, maxFile>>20)
	}
	data, err := app.ReadFile(file)
	if err == nil {
		data, err = edit(data, channel)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if err := app.WriteFile(file, data, info.Mode().Perm()); err != nil {
		return "", fmt.Errorf("%w: write %s: %w", ErrNative, path.Base(file), err)
	}
	return file, nil
}

// isEAS reports whether an address is that of EAS Update.
func isEAS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && slices.Contains([]string{"u.expo.dev", "staging-u.expo.dev"}, u.Hostname())
}

// element is one of a document, with the bytes that it takes.
type element struct {
	xml.StartElement

	// begin and end are around the start tag, closing is where the end tag begins, after is behind it.
	begin, end, closing, after int64
	text                       string
	children                   []*element
}

// parse returns the root element.
func parse(data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	top := &element{}
	open := []*element{top}
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(open) > 100 {
			return nil, fmt.Errorf("%w: not XML that can be changed: %w", ErrNative, err)
		}
		last := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{StartElement: t.Copy(), begin: at, end: d.InputOffset()}
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.EndElement:
			last.closing, last.after = at, d.InputOffset()
			open = open[:len(open)-1]
		case xml.CharData:
			last.text += string(t)
		}
	}
	if len(top.children) != 1 {
		return nil, fmt.Errorf("%w: no XML document", ErrNative)
	}
	return top.children[0], nil
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.Name.Local == name {
			return c
		}
	}
	return nil
}

func (e *element) android(name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == androidNS && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// replace puts text in place of the bytes from begin to end.
func replace(data []byte, begin, end int64, text string) []byte {
	return slices.Concat(data[:begin], []byte(text), data[end:])
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

func editManifest(data []byte, channel string) ([]byte, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	application := root.child("application")
	if application == nil || application.closing == application.end && data[application.end-2] == '/' {
		return nil, fmt.Errorf("%w: no element application with content", ErrNative)
	}
	headers := map[string]string{}
	var found *element
	address := ""
	for _, c := range application.children {
		switch c.android("name") {
		case androidURL:
			address = c.android("value")
		case androidHeaders:
			found = c
			if err := json.Unmarshal([]byte(c.android("value")), &headers); err != nil {
				return nil, fmt.Errorf("%w: %s is not an object of texts", ErrNative, androidHeaders)
			}
		}
	}
	if !isEAS(address) {
		return nil, ErrNotConfigured
	}
	headers[header] = channel
	value, err := json.Marshal(headers)
	if err != nil {
		return nil, fmt.Errorf("request headers: %w", err)
	}
	line := `<meta-data android:name="` + androidHeaders + `" android:value="` + escape(string(value)) + `"/>`
	if found != nil {
		return replace(data, found.begin, found.after, line), nil
	}
	return replace(data, application.closing, application.closing, "  "+line+"\n  "), nil
}

func editPlist(data []byte, channel string) ([]byte, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	dict := root.child("dict")
	if dict == nil || dict.closing == dict.end && data[dict.end-2] == '/' {
		return nil, ErrNotConfigured
	}
	values := dict.values()
	if address := values[iosURL]; address == nil || !isEAS(address.text) {
		return nil, ErrNotConfigured
	}
	headers := map[string]string{}
	old := values[iosHeaders]
	if old != nil {
		for key, v := range old.values() {
			headers[key] = v.text
		}
	}
	headers[header] = channel
	var b strings.Builder
	b.WriteString("<dict>\n")
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(&b, "      <key>%s</key>\n      <string>%s</string>\n", escape(key), escape(headers[key]))
	}
	b.WriteString("    </dict>")
	if old != nil {
		return replace(data, old.begin, old.after, b.String()), nil
	}
	return replace(data, dict.closing, dict.closing, fmt.Sprintf("  <key>%s</key>\n    %s\n  ", iosHeaders, b.String())), nil
}

// values returns the values of a property list's dict.
func (e *element) values() map[string]*element {
	all := map[string]*element{}
	for i := 0; i+1 < len(e.children); i += 2 {
		all[strings.TrimSpace(e.children[i].text)] = e.children[i+1]
	}
	return all
}
