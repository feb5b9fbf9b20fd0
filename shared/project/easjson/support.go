package easjson

import (
	"slices"
	"strings"
)

// Support says what Free Agent does with a key of eas.json.
type Support int

const (
	// Planned means that the key is read and checked, and that builds do not apply it yet.
	Planned Support = iota
	// Honoured means that builds do what EAS documents.
	Honoured
	// Mapped means that the key has a counterpart on the farm, which differs from EAS.
	Mapped
	// Warned means that the key has no effect, and that the client warns about it before the upload.
	Warned
	// Refused means that the client refuses a build whose profile has the key.
	Refused
	// Ignored means that the key has no effect and needs no warning.
	Ignored
)

// String returns the word that docs and commands use.
func (s Support) String() string {
	return [...]string{"not yet", "honoured", "mapped", "warned", "refused", "ignored"}[s]
}

// Section is the part of eas.json that a key belongs to.
type Section string

// The sections of eas.json.
const (
	Top           Section = "top level"
	InCli         Section = "cli"
	AnyProfile    Section = "any build profile"
	AnyPlatform   Section = "android and ios of a build profile"
	OnlyAndroid   Section = "android of a build profile"
	OnlyIOS       Section = "ios of a build profile"
	InCache       Section = "cache of a build profile"
	Submit        Section = "submit profile"
	SubmitAndroid Section = "android of a submit profile"
	SubmitIOS     Section = "ios of a submit profile"
)

// Key is a key of eas.json with what Free Agent does with it. Keys of AnyProfile may stand in the
// platform's block too, except extends.
type Key struct {
	Section Section
	Name    string
	Support Support
	// Does is one sentence about the effect. For a Planned key it says what the key will do.
	Does string
}

// Keys returns every key of the schema in the order of the docs. This table is the only place that
// says what is supported: docs/eas.md, `freeagent config` and the warnings before an upload read it.
func Keys() []Key {
	return slices.Concat(fileKeys(), profileKeys(), platformKeys(), submitKeys())
}

// KeyOf returns the row of a key as a resolved profile has it, such as "buildType" or "cache.paths".
func KeyOf(platform, name string) (Key, bool) {
	special := OnlyAndroid
	if platform == IOS {
		special = OnlyIOS
	}
	cache, inCache := strings.CutPrefix(name, "cache.")
	for _, k := range Keys() {
		switch k.Section {
		case AnyProfile, AnyPlatform, special:
			if k.Name == name {
				return k, true
			}
		case InCache:
			if inCache && k.Name == cache {
				return k, true
			}
		}
	}
	return Key{}, false
}

func fileKeys() []Key {
	return []Key{
		{Top, "$schema", Ignored, "For editors."},
		{Top, "cli", Honoured, "See the keys of cli."},
		{Top, "build", Honoured, "Its keys are the names of the build profiles. Without `--profile` the one named production is meant."},
		{Top, "submit", Ignored, "Its keys are the names of the submit profiles. They are checked as Expo does; Free Agent sends nothing to a store."},
		{InCli, "version", Ignored, "The range is for versions of eas-cli. Free Agent never refuses a build because of it."},
		{InCli, "requireCommit", Honoured, "Refuses to submit a working tree with changes that are not committed."},
		{InCli, "appVersionSource", Honoured, "With remote, the version code or build number comes from the farm's counter of the project and platform; with local, from the app's own files. Without the key it is local."},
		{InCli, "promptToConfigurePushNotifications", Ignored, "The client asks nothing about push notifications."},
		{InCli, "updateAssetHostOverride", Ignored, "For EAS Update, which Free Agent does not have."},
		{InCli, "updateManifestHostOverride", Ignored, "For EAS Update, which Free Agent does not have."},
	}
}

func profileKeys() []Key {
	return []Key{
		{AnyProfile, "extends", Honoured, "The profile inherits from another one, at most four times in a row. env, android and ios merge key by key, all else is replaced."},
		{AnyProfile, "android", Honoured, "Keys for Android builds, laid over those of the profile."},
		{AnyProfile, "ios", Honoured, "Keys for iOS builds, laid over those of the profile."},
		{AnyProfile, "env", Honoured, "Variables of the build, in every stage. The value null unsets an inherited variable."},
		{AnyProfile, "environment", Honoured, "Adds the farm's variables of this project and environment, which `freeagent env` sets. Those of env win. Without the key: production for store distribution, else development with developmentClient, else preview."},
		{AnyProfile, "distribution", Mapped, "On Android, internal makes an APK and store an app bundle, unless buildType or developmentClient says otherwise. On iOS it has no effect: archives are not signed."},
		{AnyProfile, "developmentClient", Honoured, "Builds the debug variant with expo-dev-client."},
		{AnyProfile, "channel", Honoured, "Set in the native project before it compiles, if the app has expo-updates and takes its updates from EAS. Free Agent publishes no updates."},
		{AnyProfile, "releaseChannel", Warned, "For Classic Updates, which Expo has shut down. Use channel."},
		{AnyProfile, "node", Honoured, "Version of Node.js that the build uses."},
		{AnyProfile, "corepack", Mapped, "With and without this key, packageManager in package.json decides which package manager is used, and in which version."},
		{AnyProfile, "yarn", Honoured, "Version of Yarn that the build uses."},
		{AnyProfile, "pnpm", Honoured, "Version of pnpm that the build uses."},
		{AnyProfile, "bun", Honoured, "Version of Bun that the build uses."},
		{AnyProfile, "expoCli", Warned, "The global Expo CLI is gone; the expo package of the project brings its own. EAS ignores the key as well."},
		{AnyProfile, "prebuildCommand", Honoured, "Arguments of the Expo CLI to run instead of its prebuild command."},
		{AnyProfile, "autoIncrement", Mapped, "With cli.appVersionSource remote, each submit takes the next number of the farm's counter. With local, your files are not changed, and the client warns."},
		{AnyProfile, "buildArtifactPaths", Planned, "Files that are kept besides the app, also if the build fails."},
		{AnyProfile, "uploadSourceMaps", Warned, "EAS sends source maps to its own service. Keep them with buildArtifactPaths."},
		{AnyProfile, "config", Honoured, "A custom build in .eas/build. What is not supported is refused before the upload, by name: see Custom builds."},
		{AnyProfile, "resourceClass", Mapped, "Asks for a worker with the label resource-class=VALUE. If no worker has it, the client warns and any worker builds."},
		{AnyProfile, "credentialsSource", Warned, "Builds are not signed: the result must be signed afterwards."},
		{AnyProfile, "withoutCredentials", Honoured, "Builds without signing, as all builds do. The result cannot be installed on an iOS device."},
		{AnyProfile, "cache", Honoured, "See the keys of cache."},
		{InCache, "disabled", Honoured, "Restores and keeps no cache."},
		{InCache, "key", Honoured, "A change of the key starts with empty caches of paths."},
		{InCache, "paths", Honoured, "Paths below the source that are kept after a build and restored before the next one of the same key. Others are named in the log."},
		{InCache, "customPaths", Mapped, "The old name of paths."},
		{InCache, "cacheDefaultPaths", Warned, "Deprecated. What Free Agent caches without being asked depends on the worker."},
	}
}

func platformKeys() []Key {
	return []Key{
		{AnyPlatform, "image", Mapped, "Asks for a worker with the label image=VALUE. If no worker has it, the client warns and any worker builds; auto, default and latest warn of nothing."},
		{AnyPlatform, "applicationArchivePath", Honoured, "Path or glob of the app to deliver, relative to the app's directory."},
		{AnyPlatform, "artifactPath", Planned, "The old name of applicationArchivePath."},
		{OnlyAndroid, "buildType", Honoured, "apk or app-bundle. It decides over distribution; gradleCommand and developmentClient decide over it."},
		{OnlyAndroid, "gradleCommand", Honoured, "Gradle task to run instead of the one that buildType implies."},
		{OnlyAndroid, "ndk", Warned, "The worker's Android SDK decides; set ndkVersion in the project's Gradle files instead."},
		{OnlyAndroid, "keystoreName", Warned, "The farm stores no keystores. Pass one with `--certs`."},
		{OnlyIOS, "simulator", Honoured, "Builds for the simulator, which needs no signing."},
		{OnlyIOS, "scheme", Honoured, "Xcode scheme to build."},
		{OnlyIOS, "buildConfiguration", Honoured, "Xcode configuration to build, such as Release or Debug."},
		{OnlyIOS, "enterpriseProvisioning", Warned, "The provisioning profile that you pass decides."},
		{OnlyIOS, "bundler", Warned, "The worker's Bundler is used, in the version that Gemfile.lock names."},
		{OnlyIOS, "fastlane", Warned, "Builds do not use fastlane."},
		{OnlyIOS, "cocoapods", Warned, "The worker's CocoaPods is used. Pin the version in a Gemfile."},
	}
}

func submitKeys() []Key {
	keys := []Key{{Submit, "extends", Ignored, submitDoes}, {Submit, "android", Ignored, submitDoes}, {Submit, "ios", Ignored, submitDoes}}
	for _, f := range submitProfile().fields {
		section := map[string]Section{Android: SubmitAndroid, IOS: SubmitIOS}[f.name]
		for _, key := range f.schema.fields {
			keys = append(keys, Key{section, key.name, Ignored, submitDoes})
		}
	}
	return keys
}

const submitDoes = "Checked, not used: Free Agent sends nothing to a store."

// Notice is a key of a profile that a build does not treat as EAS does.
type Notice struct {
	Key Key
	// Path leads to the key in the resolved profile, such as "cache.paths".
	Path string
}

// Notices returns the keys that the profile's file sets and that are Planned, Warned or Refused,
// sorted by path. A value that asks for what happens anyway is no reason for a notice.
func Notices(platform string, p Profile) []Notice {
	var notices []Notice
	for _, path := range p.Keys {
		k, ok := KeyOf(platform, path)
		if !ok || k.Support == Honoured || k.Support == Mapped || k.Support == Ignored || path == "cache" || p.hasNoEffect(path) {
			continue
		}
		notices = append(notices, Notice{Key: k, Path: path})
	}
	return notices
}

// hasNoEffect reports whether a key has the value that EAS assumes without it.
func (p Profile) hasNoEffect(path string) bool {
	off := func(b *bool) bool { return b != nil && !*b }
	switch path {
	case "credentialsSource":
		return p.CredentialsSource == CredentialsRemote
	case "resourceClass":
		return p.ResourceClass == "default"
	case "autoIncrement":
		return !p.AutoIncrement.Enabled
	case "uploadSourceMaps":
		return off(p.UploadSourceMaps)
	case "developmentClient":
		return off(p.DevelopmentClient)
	case "withoutCredentials":
		return off(p.WithoutCredentials)
	case "simulator":
		return off(p.Simulator)
	case "corepack":
		return off(p.Corepack)
	}
	return false
}
