package custom

import (
	"fmt"
	"slices"
	"strings"
)

// Support says what Free Agent does with a function of EAS.
type Support int

const (
	// Refused means that a build which calls the function is refused.
	Refused Support = iota
	// Runs means that the function does what EAS documents.
	Runs
	// Nothing means that the function succeeds and does nothing, since there is nothing to do.
	Nothing
	// Signing means that the function needs credentials. It is refused, unless the profile has withoutCredentials: then it does nothing.
	Signing
	// Unsigned means that the function runs only for builds without credentials: withoutCredentials, or the simulator.
	Unsigned
)

// String returns the words that docs use.
func (s Support) String() string {
	return [...]string{"refused", "runs", "does nothing", "refused unless `withoutCredentials`", "runs if unsigned"}[s]
}

// Function is one of EAS.
type Function struct {
	Name    string
	Support Support
	// Does is one sentence about the effect, or the reason why it is refused.
	Does string
	// Platform is android or ios if the function is for one of them.
	Platform string

	inputs []Input
}

// The names of functions that make stages.
const (
	BuildAll       = "eas/build"
	InstallModules = "eas/install_node_modules"
	UseNPMToken    = "eas/use_npm_token"
	Prebuild       = "eas/prebuild"
	InstallPods    = "eas/install_pods"
	// ConfigureUpdates sets the channel of expo-updates.
	ConfigureUpdates = "eas/configure_eas_update"
	IOSVersion       = "eas/configure_ios_version"
	AndroidVersion   = "eas/configure_android_version"
	RunGradle        = "eas/run_gradle"
	RunFastlane      = "eas/run_fastlane"
	FindArtifacts    = "eas/find_and_upload_build_artifacts"
	UploadArtifact   = "eas/upload_artifact"
)

// Types of artifacts.
const (
	ApplicationArchive = "application-archive"
	BuildArtifact      = "build-artifact"
)

func optional(name, kind string) Input { return Input{Name: name, Type: kind} }

const (
	noCredentials = "Builds on the farm are not signed yet."
	noDevices     = "Workers do not run emulators, simulators or Maestro for a build. Use a run step if your workers have them."
)

// Functions returns the functions of EAS that are known, in the order of Expo's docs. docs/eas.md has them as a table.
func Functions() []Function {
	uploadType := optional("type", typeString)
	uploadType.allowed = []any{ApplicationArchive, BuildArtifact, "APPLICATION_ARCHIVE", "BUILD_ARTIFACTS"}
	paths := Input{Name: "path", Type: typeString, required: true}
	return []Function{
		{BuildAll, Runs, "The stages of a build without `config`, without npm hooks.", "", nil},
		{"eas/checkout", Nothing, "The source is there.", "", nil},
		{UseNPMToken, Runs, "If `NPM_TOKEN` is set and the source has no `.npmrc`, writes one that refers to it.", "", nil},
		{InstallModules, Runs, "Installs by the lock file, as a build without `config` does.", "", nil},
		{"eas/resolve_build_config", Nothing, "The client has resolved the profile.", "", nil},
		{"eas/get_credentials_for_build_triggered_by_github_integration", Nothing, "Deprecated by EAS.", "", nil},
		{"eas/resolve_apple_team_id_from_credentials", Signing, noCredentials, "ios", []Input{optional("credentials", typeJSON)}},
		{Prebuild, Runs, "Runs `expo prebuild`, unless the source has the native project. `apple_team_id` has no effect.", "",
			[]Input{optional("clean", typeBoolean), optional("apple_team_id", typeString), optional("platform", typeString)}},
		{InstallPods, Runs, "Runs `pod install` in the working directory.", "ios", nil},
		{ConfigureUpdates, Runs, "Sets `channel`, or the profile's, natively. The runtime version is that of the app config.", "",
			[]Input{optional("channel", typeString), optional("throw_if_not_configured", typeBoolean), optional("resolved_eas_update_runtime_version", typeString)}},
		{"eas/inject_android_credentials", Signing, noCredentials, "android", []Input{optional("credentials", typeJSON)}},
		{"eas/configure_ios_credentials", Signing, noCredentials, "ios",
			[]Input{optional("credentials", typeJSON), optional("build_configuration", typeString)}},
		{AndroidVersion, Runs, "Puts the farm's versionCode into the native project, if the profile uses the farm's counter. It has no inputs here.", "android", nil},
		{IOSVersion, Runs, "Puts the farm's buildNumber into the native project, if the profile uses the farm's counter. It has no inputs here.", "ios", nil},
		{RunGradle, Runs, "Runs Gradle with `command`, or with the task that the profile implies.", "android",
			[]Input{optional("command", typeString), optional("resolved_eas_update_runtime_version", typeString)}},
		{"eas/generate_gymfile_from_template", Unsigned, "Does nothing: builds do not use fastlane. Own templates are refused.", "ios",
			[]Input{
				optional("build_configuration", typeString), optional("scheme", typeString), optional("clean", typeBoolean), optional("credentials", typeJSON),
			}},
		{RunFastlane, Unsigned, "Runs `xcodebuild` as a build without `config` does.", "ios",
			[]Input{optional("resolved_eas_update_runtime_version", typeString)}},
		{FindArtifacts, Runs, "Delivers the app: `applicationArchivePath`, or the usual places.", "", nil},
		{UploadArtifact, Runs, "Delivers the files that `path` names, relative to the source's root. Those of type `build-artifact` are kept besides the app, also if the build fails.",
			"", []Input{
				uploadType, paths, optional("key", typeString), optional("name", typeString), optional("ignore_error", typeBoolean), optional("metadata", typeJSON),
			}},
		{"eas/maestro_test", Refused, noDevices, "", nil},
		{"eas/install_maestro", Refused, noDevices, "", nil},
		{"eas/start_android_emulator", Refused, noDevices, "android", nil},
		{"eas/start_ios_simulator", Refused, noDevices, "ios", nil},
		{"eas/send_slack_message", Refused, "The farm has webhooks for builds that end. In a build, post with a run step.", "", nil},
	}
}

func functionOf(name string) (Function, bool) {
	all := Functions()
	i := slices.IndexFunc(all, func(f Function) bool { return f.Name == name })
	if i < 0 {
		return Function{}, false
	}
	return all[i], true
}

// builtIn completes a call of a function of EAS.
func (s Step) builtIn(n node, name string) (Step, error) {
	fn, ok := functionOf(name)
	if !ok && !strings.HasPrefix(name, "eas/") {
		return s, n.problem("there is no function %q: define it in functions, or import it", name)
	}
	s.Function = name
	if s.Name == "" {
		s.Name = name
	}
	if !ok || fn.Support == Refused || fn.Support == Signing {
		s.Inputs = nil // Check says why, or nothing is done with them
		return s, nil
	}
	if reason := s.misused(); reason != "" {
		return s, s.problem("%s %s", name, reason)
	}
	err := s.merge(fn.inputs)
	return s, err
}

// misused returns what a call of a function has that the function cannot honour.
func (s Step) misused() string {
	switch {
	case s.Function == BuildAll && (s.If != "" || s.Env != nil || s.Inputs != nil || s.Timeout != 0):
		return "takes nothing but a name"
	case s.Dir != "" && s.Function != InstallPods && s.Function != FindArtifacts:
		return "always runs in the app's directory: working_directory is not supported"
	case s.Shell != "":
		return "cannot have a shell"
	}
	return ""
}

// Options of a profile that decide which functions run.
type Options struct {
	// Platform is android or ios.
	Platform string
	// Unsigned is set for builds without credentials.
	Unsigned bool
	// Simulator is set for builds for the simulator.
	Simulator bool
}

// Check returns an error that names the functions which a build with these options cannot call, and warnings about those without effect. The
// error is ErrInvalid.
func (b *Build) Check(o Options) (warnings []string, err error) {
	var refused []string
	for _, s := range b.Steps {
		if s.Function == "" {
			continue
		}
		reason, warning := s.supported(o)
		if reason != "" {
			refused = append(refused, fmt.Sprintf("%s: %s is not supported. %s", s.at, s.Function, reason))
		}
		if warning != "" {
			warnings = append(warnings, fmt.Sprintf("%s: %s %s", s.at, s.Function, warning))
		}
	}
	if len(refused) > 0 {
		return warnings, problem{strings.Join(refused, "\n")}
	}
	return warnings, nil
}

// supported returns why a function cannot be called, or what its call lacks.
func (s Step) supported(o Options) (reason, warning string) {
	fn, ok := functionOf(s.Function)
	switch {
	case !ok:
		return "Free Agent does not know this function.", ""
	case fn.Support == Refused:
		return fn.Does, ""
	case fn.Platform != "" && fn.Platform != o.Platform:
		return fmt.Sprintf("It is for %s only.", fn.Platform), ""
	case fn.Support == Signing && o.Unsigned:
		return "", "does nothing, since the profile has withoutCredentials"
	case fn.Support == Signing:
		return fn.Does + ` Set "withoutCredentials": true in the profile to build without.`, ""
	case fn.Support == Unsigned && !o.Unsigned && !o.Simulator:
		return noCredentials + ` Set "withoutCredentials": true or "simulator": true in the profile.`, ""
	}
	return "", ""
}
