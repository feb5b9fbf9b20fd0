package easjson

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// Platforms of a build.
const (
	Android = "android"
	IOS     = "ios"
)

// maxExtends bounds the length of a chain of "extends", the profile itself included.
const maxExtends = 5

// Warning is a deprecation that Expo's tools warn about.
type Warning struct {
	Lines []string
	// DocsURL is empty if there is no page about it.
	DocsURL string
}

// String returns the warning as one line.
func (w Warning) String() string { return strings.Join(w.Lines, " ") }

// BuildProfile resolves a profile for a platform. An empty name means Default. It returns an *Error
// of ClassMissingProfile, ClassMissingParent or ClassOther if the profile cannot be resolved.
func (f *File) BuildProfile(platform, name string) (Profile, []Warning, error) {
	if name == "" {
		name = Default
	}
	whole, err := f.resolve(name, 0)
	if err != nil {
		return Profile{}, nil, err
	}
	special, _ := whole.Get(platform)
	base := without(whole, Android, IOS)
	own := merge(base, special)
	resolved := merge(defaults(), own)
	profile := Profile{}
	if err := decode(defined(resolved), &profile); err != nil {
		return Profile{}, nil, err
	}
	profile.Keys = keysOf(own, "")
	return profile, f.warnings(name, profile), nil
}

// keysOf returns the keys of a profile, sorted.
func keysOf(v jsonfile.Value, prefix string) []string {
	var keys []string
	for _, m := range v.Members {
		keys = append(keys, prefix+m.Key)
		if m.Key == "cache" {
			keys = append(keys, keysOf(m.Value, "cache.")...)
		}
	}
	slices.Sort(keys)
	return keys
}

// resolve returns a profile with what it inherits.
func (f *File) resolve(name string, depth int) (jsonfile.Value, error) {
	if depth >= maxExtends {
		return jsonfile.Value{}, &Error{
			Class:   ClassOther,
			Message: `Too long chain of profile extensions, make sure "extends" keys do not make a cycle`,
		}
	}
	build, _ := f.value.Get("build")
	profile, ok := build.Get(name)
	switch {
	case !ok && depth == 0:
		quoted := make([]string, 0, len(build.Members))
		for _, n := range f.Names() {
			quoted = append(quoted, `"`+n+`"`)
		}
		return jsonfile.Value{}, &Error{
			Class:   ClassMissingProfile,
			Message: `Missing build profile in eas.json: "` + name + `". Available profiles: [` + strings.Join(quoted, ", ") + `]`,
		}
	case !ok:
		return jsonfile.Value{}, &Error{
			Class:   ClassMissingParent,
			Message: `Extending non-existent build profile in eas.json: "` + name + `"`,
		}
	}
	parent, ok := profile.Get("extends")
	profile = without(profile, "extends")
	if !ok {
		return profile, nil
	}
	base, err := f.resolve(parent.Text, depth+1)
	if err != nil {
		return jsonfile.Value{}, err
	}
	return merge(base, profile), nil
}

// merge lays update over base. The objects env, android and ios merge key by key.
func merge(base, update jsonfile.Value) jsonfile.Value {
	out := jsonfile.Value{Kind: jsonfile.Object, Members: slices.Clone(base.Members)}
	for _, m := range update.Members {
		i := slices.IndexFunc(out.Members, func(o jsonfile.Member) bool { return o.Key == m.Key })
		switch {
		case i < 0:
			out.Members = append(out.Members, m)
		case m.Key == "env":
			out.Members[i].Value = overlay(out.Members[i].Value, m.Value)
		case m.Key == Android || m.Key == IOS:
			out.Members[i].Value = merge(out.Members[i].Value, m.Value)
		default:
			out.Members[i] = m
		}
	}
	return out
}

// overlay replaces and adds keys.
func overlay(base, update jsonfile.Value) jsonfile.Value {
	return jsonfile.Value{Kind: jsonfile.Object, Members: slices.Concat(base.Members, update.Members)}
}

func without(v jsonfile.Value, keys ...string) jsonfile.Value {
	v.Members = slices.DeleteFunc(slices.Clone(v.Members), func(m jsonfile.Member) bool { return slices.Contains(keys, m.Key) })
	return v
}

// defined returns a profile without the variables that are unset.
func defined(v jsonfile.Value) jsonfile.Value {
	v.Members = slices.Clone(v.Members)
	for i, m := range v.Members {
		if m.Key == "env" {
			env := jsonfile.Value{Kind: jsonfile.Object, Members: m.Value.Ordered()}
			env.Members = slices.DeleteFunc(env.Members, func(m jsonfile.Member) bool { return m.Value.Kind == jsonfile.Null })
			v.Members[i].Value = env
		}
	}
	return v
}

// defaults are the keys that every profile has.
func defaults() jsonfile.Value {
	return jsonfile.Value{Kind: jsonfile.Object, Members: []jsonfile.Member{
		{Key: "credentialsSource", Value: jsonfile.Value{Kind: jsonfile.String, Text: CredentialsRemote}},
		{Key: "distribution", Value: jsonfile.Value{Kind: jsonfile.String, Text: DistributionStore}},
	}}
}

// warnings returns the deprecated keys of a resolved profile.
func (f *File) warnings(name string, p Profile) []Warning {
	var warnings []Warning
	deprecated := func(key string) string {
		return fmt.Sprintf(`The "build.%s.%s" field in eas.json is deprecated and will be removed in the future.`, name, key)
	}
	if p.Cache != nil && p.Cache.CacheDefaultPaths != nil {
		warnings = append(warnings, Warning{
			Lines:   []string{deprecated("cache.cacheDefaultPaths")},
			DocsURL: "https://docs.expo.dev/build-reference/caching/#ios-dependencies",
		})
	}
	if p.ExpoCli != "" {
		warnings = append(warnings, Warning{Lines: []string{
			deprecated("expoCli"),
			`Global Expo CLI is deprecated. Since Expo SDK 46 local Expo CLI shipped with "expo" package is used. Remove this field from eas.json.`,
			"Using this field has no effect on EAS Build process.",
		}})
	}
	return append(warnings, f.customPaths(name)...)
}

// customPaths warns about cache.customPaths of a profile and of those that it extends.
func (f *File) customPaths(name string) []Warning {
	var warnings []Warning
	build, _ := f.raw.Get("build")
	for range maxExtends {
		profile, _ := build.Get(name)
		cache, _ := profile.Get("cache")
		if _, ok := cache.Get("customPaths"); ok {
			warnings = append(warnings, Warning{
				Lines: []string{fmt.Sprintf(`The "build.%s.cache.customPaths" field in eas.json is deprecated and will be removed in the future. `+
					`Please use "build.%s.cache.paths" instead.`, name, name)},
				DocsURL: "https://docs.expo.dev/build-reference/eas-json/#cache",
			})
		}
		parent, ok := profile.Get("extends")
		if !ok {
			break
		}
		name = parent.Text
	}
	return warnings
}
