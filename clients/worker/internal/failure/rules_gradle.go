package failure

var gradleRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "gradle-summary", has: []string{"What went wrong:"}, match: `^\* What went wrong:`,
		more: []string{`^(?P<first>[^\s>*].*)`, `^\s*>\s+(?P<last>[^\s>].*)`}, until: `^\* (?:Try|Exception|Get more)|^BUILD FAILED`, need: "first",
		cause: "{first}[ {last}]", rank: rankSummary, where: "",
	},
	{
		id: "gradle-where", has: []string{"Build file '", "Script '", "Settings file '"}, match: `^(?:Build|Settings) file '(?P<f>[^']+)' line: (?P<l>\d+)|^Script '(?P<f2>[^']+)' line: (?P<l2>\d+)`,
		more: []string{`^(?P<first>A problem occurred .+|Could not .+)`, `^\s*>\s+(?P<last>[^\s>].*)`}, until: `^\* Try`, need: "first",
		cause: "[{last} ]({first})", where: "{f}{f2}:{l}{l2}", rank: rankSummary + 3,
	},
	{
		id: "gradle-resolve", has: []string{"Could not resolve ", "Could not find "}, match: `>\s+Could not (?P<v>resolve|find) (?P<d>[\w.-]+:[\w.-]+(?::[^\s]+?)?)\.?$`,
		more: []string{`>\s+(?P<why>No matching variant .+|.*incompatible.*)`, `^\s*(?:Required by:|>) (?P<by>project :\S*)`}, until: `^\* Try`,
		cause: "Could not {v} {d}[ ({why})]", cure: "Check the dependency's version and the repositories in build.gradle.", rank: rankSummary + 4,
	},
	{
		id: "gradle-sdk", has: []string{"SDK location not found", "ANDROID_HOME"}, match: `SDK location not found`,
		cause: "The Android SDK is not found", cure: "Set ANDROID_HOME for the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-licenses", has: []string{"licences have not been accepted", "licenses have not been accepted"}, match: `Failed to install the following (?:Android )?SDK packages as some licen[cs]es have not been accepted`,
		more: []string{`^\s+(?P<p>\S+;\S+|platforms\S+|ndk\S*|build-tools\S*)`}, cause: "Licenses of the Android SDK are not accepted[ ({p})]", cure: "Run sdkmanager --licenses on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-platform", has: []string{"failed to find target with hash string", "Failed to find Build Tools revision", "Failed to find target"},
		match: `[Ff]ailed to find (?:target with hash string|Build Tools revision) '?(?P<v>[\w.-]+)'?`, cause: "The Android SDK lacks {v}", cure: "Install it with sdkmanager on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-ndk", has: []string{"NDK "}, match: `(?:\[CXX1101\] )?NDK (?:at (?P<p>\S+) did not have a source\.properties file|(?:is )?not configured|not found)`,
		cause: "The Android NDK is missing or damaged[ ({p})]", cure: "Install the NDK that the project asks for with sdkmanager on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-java", has: []string{"Unsupported class file major version", "requires Java", "requires at least JVM runtime version", "invalid source release", "Dependency requires at least JVM"},
		match: `(?P<why>Unsupported class file major version \d+|Android Gradle plugin requires Java \d+ to run\. You are currently using Java \d+|(?:Dependency|Gradle|This build).{0,80}requires at least JVM runtime version \d+|invalid source release: \d+)`,
		cause: "The worker's Java does not fit: {why}", cure: "Set JAVA_HOME to the JDK that the project needs.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-no-java", has: []string{"JAVA_HOME"}, match: `ERROR: JAVA_HOME is (?P<why>not set and no 'java' command could be found|set to an invalid directory: \S+)`,
		cause: "There is no Java: JAVA_HOME is {why}", cure: "Install a JDK on the worker and set JAVA_HOME.", rank: rankCause, blame: Machine,
	},
	{
		id: "gradle-version", has: []string{"Minimum supported Gradle version is"}, match: `Minimum supported Gradle version is (?P<want>[\d.]+)\. Current version is (?P<got>[\d.]*\d)`,
		cause: "Gradle {got} is too old: {want} is needed", cure: "Update android/gradle/wrapper/gradle-wrapper.properties.", where: "android/gradle/wrapper/gradle-wrapper.properties", rank: rankCause,
	},
	{
		id: "gradle-wrapper", has: []string{"org.gradle.wrapper.GradleWrapperMain"}, match: `Could not find or load main class org\.gradle\.wrapper\.GradleWrapperMain|Unable to access jarfile .*gradle-wrapper\.jar`,
		cause: "gradle-wrapper.jar is missing", cure: "Commit android/gradle/wrapper/gradle-wrapper.jar (*.jar may be ignored).", rank: rankCause,
	},
	{
		id: "gradle-plugin", has: []string{"was not found in any of the following sources"}, match: `Plugin \[id: '(?P<p>[^']+)'(?:, version: '(?P<v>[^']+)')?.*\] was not found`,
		cause: "The Gradle plugin {p}[ {v}] is not found", cure: "Check its version and pluginManagement in settings.gradle.", rank: rankCause,
	},
	{
		id: "gradle-heap", has: []string{"Java heap space", "OutOfMemoryError", "JVM heap space is exhausted"}, match: `OutOfMemoryError: (?P<why>[\w ]+)|(?P<why2>Java heap space|JVM heap space is exhausted|Metaspace)`,
		cause: "Gradle's memory is full[ ({why})][ ({why2})]", cure: "Raise org.gradle.jvmargs in android/gradle.properties (-Xmx4g -XX:MaxMetaspaceSize=1g).", where: "android/gradle.properties", rank: rankMachine - 2,
	},
	{
		id: "android-duplicate", has: []string{"Duplicate class "}, match: `Duplicate class (?P<c>\S+) found in (?:the following )?modules (?P<a>.+?)(?: and (?P<b>.+))?$`,
		cause: "The class {c} is in two libraries: {a}[ and {b}]", cure: "Align or exclude one of them.", rank: rankCause,
	},
	{
		id: "android-manifest", has: []string{"Manifest merger failed"}, match: `Manifest merger failed\s*:\s*(?P<why>.+)`,
		cause: "The Android manifests cannot be merged: {why}", rank: rankCause,
	},
	{
		id: "android-minsdk", has: []string{"uses-sdk:minSdkVersion"}, match: `uses-sdk:minSdkVersion (?P<got>\d+) cannot be smaller than version (?P<want>\d+) declared in library \[(?P<lib>[^\]]+)\]`,
		cause: "minSdkVersion is {got}, and {lib} needs {want}", cure: "Raise it (expo-build-properties: android.minSdkVersion).", rank: rankCause + 1,
	},
	{
		id: "android-compilesdk", has: []string{"requires libraries and applications that"}, match: `Dependency '(?P<lib>[^']+)' requires libraries and applications that`,
		more: []string{`compile against version (?P<v>\d+)`}, cause: "{lib} needs a higher compileSdkVersion[: {v}]", cure: "Raise it (expo-build-properties: android.compileSdkVersion).", rank: rankCause + 1,
	},
	{
		id: "android-resource", has: []string{"AAPT: error:", "error: resource "}, match: `(?:(?P<f>/\S+?):(?:(?P<l>\d+):)? )?(?:AAPT: error|error): (?P<why>resource .+|.+)`,
		cause: "Android resources cannot be linked: {why}", where: "[{f}][:{l}]", rank: rankPlace - 1,
	},
	{
		id: "android-dex", has: []string{"cannot exceed 64K", "method references"}, match: `number of method references in a \.dex file cannot exceed 64K`,
		cause: "The app has more than 64K methods", cure: "Enable multidex, or raise minSdkVersion to 21.", rank: rankCause,
	},
	{
		id: "android-namespace", has: []string{"Namespace not specified"}, match: `Namespace not specified`, more: []string{`(?:Build file|build file) '?(?P<f>\S+build\.gradle(?:\.kts)?)`, `>\s+(?P<m>:\S+)`},
		cause: "A library has no namespace, which this Android Gradle plugin needs[ ({f})]", cure: "Update the library.", rank: rankCause,
	},
	{
		id: "android-lint", has: []string{"Lint found errors in the project", "Lint found fatal errors"}, match: `Lint found (?:fatal )?errors`,
		more: []string{`^\s*(?P<f>\S+?):(?P<l>\d+): Error: (?P<why>.+)`}, cause: "Android lint found errors[: {why}]", where: "[{f}:{l}]", rank: rankCause - 5,
	},
	{
		id: "android-google-client", has: []string{"No matching client found for package name"}, match: `No matching client found for package name '(?P<p>[^']+)'`,
		cause: "google-services.json has no client for {p}", cure: "Download it again for this package name.", where: "google-services.json", rank: rankCause,
	},
	{
		id: "android-keystore", has: []string{"not found for signing config"}, match: `Keystore file '(?P<f>[^']+)' not found for signing config '(?P<c>[^']+)'`,
		cause: "The keystore {f} of the signing config {c} is missing", cure: "Submit it, or correct storeFile.", rank: rankCause,
	},
	{
		id: "android-keystore-password", has: []string{"keystore password was incorrect", "password was incorrect", "Failed to read key"},
		match: `(?:Failed to read key (?P<a>\S+) from store "(?P<f>[^"]+)": (?P<why>.+)|[Kk]eystore (?:was tampered with, or )?password was incorrect)`,
		cause: "The keystore cannot be opened[: key {a}][, {why}]", cure: "Check the keystore's password, alias and key password.", rank: rankCause,
	},
	{
		id: "android-alias", has: []string{"No key with alias"}, match: `No key with alias '(?P<a>[^']+)' found in keystore (?P<f>\S+)`,
		cause: "The keystore has no key {a}", cure: "Correct keyAlias.", rank: rankCause,
	},
	{
		id: "cmake", has: []string{"CMake Error at "}, match: `CMake Error at (?P<f>[^\s:]+):(?P<l>\d+)`, more: []string{`^\s*(?:C/C\+\+: )?\s{2,}(?P<why>\S.+)`},
		cause: "CMake failed[: {why}]", where: "{f}:{l}", rank: rankPlace,
	},
	{
		id: "ninja", has: []string{"ninja: error:"}, match: `ninja: error: (?P<why>.+)`, cause: "ninja failed: {why}", rank: rankCause,
	},
	{
		id: "gradle-bundle", has: []string{"createBundleReleaseJsAndAssets'"}, match: `Execution failed for task '(?P<t>\S+createBundle\w+JsAndAssets)'`,
		cause: "The JavaScript bundle could not be made ({t})", cure: "Metro's own error is above.", rank: rankSummary + 1,
	},
}

var javaRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "kotlin", has: []string{"e: file://", "e: /"}, match: `^e: (?:file://)?(?P<f>/\S+?\.kts?):(?:(?P<l>\d+):(?P<c>\d+):?| \((?P<l2>\d+), (?P<c2>\d+)\):) (?P<why>.+)`,
		cause: "{why}", where: "{f}:{l}{l2}:{c}{c2}", cure: "Kotlin cannot compile it; if the file is a library's, align its version.", rank: rankPlace,
	},
	{
		id: "javac", has: []string{".java:"}, match: `^(?P<f>\S+\.java):(?P<l>\d+): error: (?P<why>.+)`, cause: "{why}", where: "{f}:{l}",
		cure: "Java cannot compile it; if the file is a library's, align its version.", rank: rankPlace,
	},
	{
		id: "cpp", has: []string{"error: "}, match: `(?:^|C/C\+\+: )(?P<f>/?\S+?\.(?:cpp|cc|c|h|hpp)):(?P<l>\d+):(?P<c>\d+): (?:fatal )?error: (?P<why>.+)`,
		cause: "{why}", where: "{f}:{l}:{c}", rank: rankPlace,
	},
	{
		id: "groovy", has: []string{"build file '", "settings file '"}, match: `startup failed:|Could not compile (?P<k>build|settings) file '(?P<f>[^']+)'`,
		more: []string{`(?:build|settings) file '(?P<f>[^']+)': (?P<l>\d+): (?P<why>.+)`}, need: "why", cause: "Gradle cannot compile its script: {why}", where: "{f}:{l}", rank: rankPlace,
	},
	{
		id: "gradle-kts", has: []string{"Script compilation error"}, match: `Script compilation errors?:`, more: []string{`^\s*\^ (?P<why>.+)`, `^\s*Line (?P<l>\d+):`},
		cause: "Gradle cannot compile its script[: {why}][ (line {l})]", rank: rankPlace - 1,
	},
}
