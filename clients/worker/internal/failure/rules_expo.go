package failure

var nodeRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "node-heap", has: []string{"JavaScript heap out of memory"}, match: `JavaScript heap out of memory`,
		cause: "Node's heap is full", cure: "Set NODE_OPTIONS=--max-old-space-size=8192 (MB) in the profile's env.", rank: rankMachine - 2,
	},
	{
		id: "node-module", has: []string{"Cannot find module"}, match: `Cannot find module '(?P<m>[^']+)'`, more: []string{`^(?:npm (?:error|ERR!) )?- (?P<f>\S+)`},
		until: `^$`, cause: "The module {m} cannot be found", cure: "Add it to the dependencies, or correct its path.", where: "{f}", rank: rankCause - 3,
	},
	{
		id: "node-package", has: []string{"Cannot find package"}, match: `Cannot find package '(?P<m>[^']+)' imported from (?P<f>\S+)`,
		cause: "The package {m} cannot be found", cure: "Add it to the dependencies.", where: "{f}", rank: rankCause - 3,
	},
	{
		id: "node-openssl", has: []string{"digital envelope routines", "ERR_OSSL_EVP_UNSUPPORTED"}, match: `digital envelope routines|ERR_OSSL_EVP_UNSUPPORTED`,
		cause: "This version of Node refuses the hash of an old bundler (ERR_OSSL_EVP_UNSUPPORTED)", cure: "Update the bundler, or set NODE_OPTIONS=--openssl-legacy-provider.", rank: rankCause,
	},
	{
		id: "node-esm", has: []string{"ERR_REQUIRE_ESM", "ERR_REQUIRE_CYCLE_MODULE"}, match: `ERR_REQUIRE_\w+\]?: (?P<why>require\(\) of ES Module (?P<m>\S+) from (?P<f>\S+) not supported)`,
		cause: "{f} requires the ES module {m}, which this version of Node cannot", cure: "Use a newer Node or an older version of the package.", rank: rankCause,
	},
	{
		id: "node-old", has: []string{"SyntaxError: Unexpected token"}, match: `SyntaxError: Unexpected token '(?P<t>\?\?=|\|\|=|&&=|\?|\.|#)'`,
		cause: "This version of Node is too old: it does not know {t}", cure: "Set the Node version that the project needs.", rank: rankPlain + 1,
	},
	{
		id: "node-syntax", has: []string{"SyntaxError: "}, match: `^(?:npm (?:error|ERR!) )?SyntaxError: (?P<why>[^/].*)`, more: []string{`^(?:npm (?:error|ERR!) )?\s+at .*?(?P<n>node:internal)`}, need: "n",
		before: `^(?P<f>(?:file://)?/\S+:\d+)$`, cause: "SyntaxError: {why}", where: "[{f}]", rank: rankPlain,
	},
	{
		id: "typescript", has: []string{"error TS"}, match: `^(?P<f>\S+?\.[cm]?tsx?)(?:\((?P<l>\d+),(?P<c>\d+)\)|:(?P<l2>\d+):(?P<c2>\d+))(?: -|:) error (?P<code>TS\d+): (?P<why>.+)`,
		cause: "{code}: {why}", where: "{f}:{l}{l2}:{c}{c2}", rank: rankPlace,
	},
	{
		id: "repack-app", has: []string{"Uncaught Error AssertionError"}, match: `^Uncaught Error AssertionError(?: \[\w+\])?: (?P<why>.+)`,
		more: []string{`^\s+at .*(?P<tool>@expo/repack-app)/`}, need: "tool",
		cause: "@expo/repack-app cannot repack the earlier app: {why}", cure: "Build without --repack.", rank: rankPlain + 1,
	},
	{
		id: "node-exception", has: []string{"Error: ", "Error ["}, match: `^(?:npm (?:error|ERR!) |\[[\w-]+\] )?(?:Uncaught )?(?P<why>\w*Error(?: \[\w+\])?: \S.*)`,
		more: []string{`^(?:npm (?:error|ERR!) )?\s+at (?:.*\()?(?P<f>(?:file://)?/[^()]*?:\d+:\d+)\)?$`}, need: "f",
		cause: "{why}", where: "{f}", rank: rankPlain,
	},
}

var metroRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "metro-file", has: []string{"Unable to resolve module .", "Unable to resolve \"."},
		match: `Unable to resolve (?:module )?"?(?P<m>\.[^\s"]*)"? from "?(?P<f>[^\s":]+)`, more: []string{`^\s*>\s*(?P<l>\d+) \|`}, until: `^Import stack|^Require stack`,
		cause: "{f} imports {m}, and there is no such file", cure: "Add the file (is it committed?), or correct the path; case counts.", where: "{f}[:{l}]", rank: rankPlace,
	},
	{
		id: "metro-alias", has: []string{"Unable to resolve module", "Unable to resolve \""},
		match: `Unable to resolve (?:module )?"?(?P<m>(?:@/|~|#|\$)[^\s"]*)"? from "?(?P<f>[^\s":]+)`, more: []string{`^\s*>\s*(?P<l>\d+) \|`}, until: `^Import stack|^Require stack`,
		cause: "{f} imports {m}, and there is no such file", where: "{f}[:{l}]", rank: rankPlace + 1,
		cure: "Add the file (is it committed?), or correct the path or the alias in tsconfig.json or babel.config.js; case counts.",
	},
	{
		id: "metro-module", has: []string{"Unable to resolve module", "Unable to resolve \""},
		match: `Unable to resolve (?:module )?"?(?P<m>[^\s".][^\s"]*)"? from "?(?P<f>[^\s":]+)`, more: []string{`^\s*>\s*(?P<l>\d+) \|`}, until: `^Import stack|^Require stack`,
		cause: "{f} imports {m}, which is not installed", cure: "Run npx expo install {m} and commit package.json with the lock file.", where: "{f}[:{l}]", rank: rankPlace,
	},
	{
		id: "babel-syntax", has: []string{"SyntaxError: "}, match: `SyntaxError: (?:Error: )?(?P<f>(?:[A-Za-z]:)?[^\s:]+): (?P<why>.+?) \((?P<l>\d+):(?P<c>\d+)\)`,
		cause: "{f} has a syntax error: {why}", where: "{f}:{l}:{c}", cure: "Correct it.", rank: rankPlace + 1,
	},
	{
		id: "babel-plugin", has: []string{"Failed to construct transformer", "Error while loading config", "Cannot find module"},
		match: `(?:Failed to construct transformer: |\[BABEL\].*?:|Error:).*Cannot find module '(?P<m>[^']+)'`, more: []string{`(?P<b>Babel plugins and presets you are using|@babel/core/lib/config)`}, need: "b",
		cause: "babel.config.js names {m}, which is not installed", cure: "Add it to devDependencies and commit package.json with the lock file.", where: "babel.config.js", rank: rankCause + 2,
	},
	{
		id: "babel-error", has: []string{"[BABEL]"}, match: `\[BABEL\] (?P<f>[^\s:]+): (?P<why>.+?)(?: \(While processing: (?P<by>.+)\))?$`,
		cause: "Babel failed: {why}", where: "{f}", rank: rankCause,
	},
	{
		id: "metro-transform", has: []string{"TransformError", "error: bundling failed"}, match: `(?:TransformError|error: bundling failed:?)\s*(?:Error:|SyntaxError:)?\s*(?P<why>\S.+)`,
		cause: "Metro could not transform a module: {why}", rank: rankSummary + 2,
	},
	{
		id: "metro-config", has: []string{"metro.config.js"}, match: `Error (?:loading|reading|while loading) (?:Metro )?config.*?(?P<f>\S*metro\.config\.\w+)(?:: (?P<why>.+))?`,
		cause: "The Metro configuration cannot be loaded[: {why}]", where: "{f}", rank: rankCause,
	},
	{
		id: "hermes", has: []string{": error: "}, match: `^(?P<f>\S*\.(?:js|bundle|hbc)):(?P<l>\d+):(?P<c>\d+): error: (?P<why>.+)`,
		cause: "Hermes could not compile the bundle: {why}", where: "{f}:{l}:{c}", rank: rankPlace,
	},
	{
		id: "metro-sha1", has: []string{"Failed to get the SHA-1 for"}, match: `Failed to get the SHA-1 for: (?P<f>\S+)`,
		cause: "Metro does not watch {f}", cure: "Add its directory to watchFolders in metro.config.js.", rank: rankCause,
	},
	{
		id: "metro-asset", has: []string{"Failed to resolve the asset", "unsupported file type"}, match: `(?P<why>unsupported file type.*\(file: (?P<f>[^)]+)\))`,
		cause: "An image cannot be read: {why}", where: "{f}", rank: rankCause,
	},
	{
		id: "metro-bundling", has: []string{"Bundling failed"}, match: `(?:Android|iOS|Web|λ) Bundling failed`, more: []string{`^(?P<why>\w*Error: .+)`}, need: "why",
		cause: "Metro: {why}", rank: rankSummary,
	},
}

var expoRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "expo-json", has: []string{"JsonFileError"}, match: `JsonFileError: Error parsing JSON`,
		more:  []string{`File: (?P<f>\S.+)`, `Cause: (?P<why>.+?)(?: at (?P<l>\d+:\d+))?$`},
		cause: "[{f} ]is not valid JSON[: {why}]", cure: "Correct it.", where: "{f}[:{l}]", need: "f", rank: rankPlace,
	},
	{
		id: "expo-plugin", has: []string{"Failed to resolve plugin for module"}, match: `Failed to resolve plugin for module "(?P<p>[^"]+)"`,
		cause: "The config plugin {p} is not installed", cure: "Run npx expo install {p} and commit package.json with the lock file, or take it out of plugins.", where: "app.json", rank: rankCause + 2,
	},
	{
		id: "expo-plugin-unknown", has: []string{"does not contain a valid config plugin", "Unable to resolve a valid config plugin"},
		match: `(?:Package|Unable to resolve a valid config plugin for) "?(?P<p>[^\s":]+)"?(?:\.| does not contain a valid config plugin)`,
		cause: "{p} has no config plugin", cure: "Take it out of plugins in the app config.", where: "app.json", rank: rankCause + 1,
	},
	{
		id: "expo-config", has: []string{"Error reading Expo config at"}, match: `Error reading Expo config at (?P<f>.+?):$`,
		more:  []string{`^(?P<why>[^\s>].*)`, `^\s+at .*?(?P<w>/[^\s()]*app\.config\.\w+:\d+:\d+)`},
		cause: "The app config cannot be read[: {why}]", cure: "If it needs a variable, set it in the profile's env.", where: "[{f}]", rank: rankPlace - 1,
	},
	{
		id: "expo-entry", has: []string{"Cannot resolve entry file"}, match: `Cannot resolve entry file`,
		cause: "The field main of package.json names a file that does not exist", where: "package.json", rank: rankCause + 1,
		cure: "Correct it (index.js, or expo-router/entry), and check that the file is committed.",
	},
	{
		id: "expo-config-missing", has: []string{"ConfigError:"}, match: `ConfigError: (?P<why>.+)`, cause: "The app config is not usable: {why}", rank: rankCause,
	},
	{
		id: "expo-icon", has: []string{"no such file or directory, open", "could not be found", "Could not find MIME for Buffer"},
		match: `ENOENT: no such file or directory, open '(?P<f>[^']+\.(?:png|jpe?g|webp|svg|icon))'`,
		cause: "The image {f} is missing", cure: "Commit it, or correct icon and splash in the app config.", where: "app.json", rank: rankCause + 1,
	},
	{
		id: "expo-prebuild-plugin", has: []string{"withAndroid", "withIos", "withDangerous", "[android.", "[ios."}, match: `^(?:Error: |✖ )?\[(?P<mod>(?:android|ios)\.\w+)\]: (?:(?P<p>with\w+): )?(?P<why>.+)`,
		cause: "A config plugin failed ({mod}): {why}", where: "app.json", rank: rankCause,
	},
	{
		id: "expo-google-services", has: []string{"google-services.json", "GoogleService-Info.plist"},
		match: `(?:Cannot copy google-services|no such file or directory, (?:copyfile|open) '[^']*(?P<n>google-services\.json|GoogleService-Info\.plist)'|File (?P<n2>google-services\.json) is missing|(?:Path|path) to (?P<n3>GoogleService-Info\.plist))`,
		cause: "The Google services file[ {n}][ {n2}][ {n3}] is missing", cure: "Commit it, or pass it with --pass-env and name the variable in the app config.", rank: rankCause + 1,
	},
	{
		id: "expo-sdk", has: []string{"Cannot determine the project's Expo SDK version"}, match: `Cannot determine the project's Expo SDK version`,
		cause: "The package expo is not installed", cure: "Run npx expo install expo and commit the lock file.", where: "package.json", rank: rankCause + 1,
	},
	{
		id: "expo-package", has: []string{"CommandError: "}, match: `CommandError: (?P<why>.+)`, cause: "{why}", rank: rankSummary + 5,
	},
	{
		id: "expo-plugin-error", has: []string{"PluginError: "}, match: `PluginError: (?P<why>.+)`, cause: "A config plugin failed: {why}", where: "app.json", rank: rankCause,
	},
	{
		id: "expo-autolinking", has: []string{"expo-modules-autolinking"}, match: `(?:Couldn't find|Cannot find) (?:the )?["'` + "`" + `]?expo-modules-autolinking`,
		cause: "expo-modules-autolinking is not installed", cure: "Install the project's dependencies before the native build.", rank: rankCause,
	},
	{
		id: "eas-env", has: []string{"must be set", "is not set", "is not defined", "is required"}, match: `^(?:Error: )?(?:Missing )?[Ee]nvironment variable "?(?P<v>[A-Z][A-Z0-9_]+)"? (?:must be set|is not set|is not defined|is required)`,
		cause: "The environment variable {v} is not set", cure: "Set it in the profile's env, or pass it with --pass-env.", rank: rankCause,
	},
}
