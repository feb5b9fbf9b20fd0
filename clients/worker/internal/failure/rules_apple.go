package failure

var podRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "pods-versions", has: []string{"could not find compatible versions for pod"}, match: `CocoaPods could not find compatible versions for pod "(?P<p>[^"]+)"`,
		more: []string{`(?P<why>required a higher minimum deployment target)`, `(?P<out>out-of-date source repos)`, `^\s+(?P<who>\S+ \(.+?\)(?: was resolved to .+)?.*)`}, until: `^\[!\] (?:Auto|Smart)`,
		cause: "CocoaPods could not find compatible versions for pod {p}[ ({why})][; its {out} may be why]",
		cure:  "Raise ios.deploymentTarget if it is too low; else run pod install --repo-update and commit Podfile.lock.", where: "ios/Podfile", rank: rankCause,
	},
	{
		id: "pods-spec", has: []string{"Unable to find a specification for"}, match: `Unable to find a specification for ['` + "`" + `](?P<p>[^'` + "`" + `]+)['` + "`" + `]`,
		more: []string{`depended upon by ['` + "`" + `](?P<by>[^'` + "`" + `]+)`}, cause: "There is no pod {p}[, which {by} needs]", cure: "Run pod install --repo-update, or correct its name.", where: "ios/Podfile", rank: rankCause,
	},
	{
		id: "pods-podfile", has: []string{"Invalid `Podfile` file"}, match: "Invalid `Podfile` file: (?P<why>.+)", more: []string{`#\s+from (?P<f>\S*Podfile):(?P<l>\d+)`},
		cause: "The Podfile is not valid: {why}", where: "[{f}:{l}]", rank: rankPlace,
	},
	{
		id: "pods-podspec", has: []string{"No podspec found for"}, match: `No podspec found for ['` + "`" + `](?P<p>[^'` + "`" + `]+)['` + "`" + `] in ['` + "`" + `](?P<f>[^'` + "`" + `]+)`,
		cause: "The pod {p} has no podspec in {f}", cure: "Install the project's packages before pod install.", where: "ios/Podfile", rank: rankCause,
	},
	{
		id: "pods-modules", has: []string{"which does not define modules", "which do not define modules"}, match: `The Swift pod ['` + "`" + `](?P<p>[^'` + "`" + `]+)['` + "`" + `] depends upon (?P<d>.+?), which do(?:es)? not define modules`,
		cause: "The Swift pod {p} needs modules of {d}", cure: "Set useFrameworks: static (expo-build-properties), or use_modular_headers! in the Podfile.", where: "ios/Podfile", rank: rankCause,
	},
	{
		id: "pods-lock", has: []string{"sandbox is not in sync with the Podfile.lock"}, match: `The sandbox is not in sync with the Podfile\.lock`,
		cause: "The installed pods are not those of Podfile.lock", cure: "Run pod install before the archive, and commit Podfile.lock.", where: "ios/Podfile.lock", rank: rankCause,
	},
	{
		id: "pods-deployment", has: []string{"deployment mode"}, match: `There were changes to the (?:podfile|Podfile|lockfile) in deployment mode`,
		cause: "Podfile and Podfile.lock are out of sync", cure: "Run pod install and commit Podfile.lock.", where: "ios/Podfile.lock", rank: rankCause,
	},
	{
		id: "pods-locale", has: []string{"Unicode Normalization not appropriate for ASCII-8BIT"}, match: `Unicode Normalization not appropriate for ASCII-8BIT`,
		cause: "CocoaPods needs a UTF-8 locale", cure: "Set LANG=en_US.UTF-8 for the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "pods-ruby", has: []string{"but your Gemfile specified"}, match: `Your Ruby version is (?P<got>[\d.]+), but your Gemfile specified (?P<want>.+)`,
		cause: "The Gemfile asks for Ruby {want}, and {got} is here", cure: "Install that Ruby on the worker.", where: "Gemfile", rank: rankCause,
	},
	{
		id: "pods-installing", has: []string{"[!] Error installing"}, match: `\[!\] Error installing (?P<p>\S+)`, more: []string{`(?P<why>fatal: .+|curl: .+|error: .+)`},
		cause: "The pod {p} could not be installed[: {why}]", where: "ios/Podfile", rank: rankSummary + 3,
	},
	{
		id: "pods-error", has: []string{"[!] "}, match: `^\[!\] (?P<why>(?:Unable|Failed|Could|Can't|Cannot|No |Invalid|Error|An error|Found|The (?:target|dependency|Podfile|version|following)|There|Multiple|Target|Oh no|CocoaPods could)\b?.*)`,
		cause: "CocoaPods: {why}", where: "", rank: rankSummary,
	},
}

var xcodeRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "swift-module", has: []string{"no such module", "No such module"}, match: `^(?P<f>/.+?):(?P<l>\d+):(?P<c>\d+): error: [Nn]o such module '(?P<m>[^']+)'`,
		cause: "The module {m} is missing", cure: "Run pod install, and build the workspace instead of the project.", where: "{f}:{l}:{c}", rank: rankPlace + 1,
	},
	{
		id: "clang-header", has: []string{"file not found"}, match: `^(?P<f>/.+?):(?P<l>\d+):(?P<c>\d+): (?:fatal )?error: '(?P<h>[^']+)' file not found`,
		cause: "The header {h} is missing", cure: "Run pod install again, and check that the pod's version fits.", where: "{f}:{l}:{c}", rank: rankPlace + 1,
	},
	{
		id: "clang", has: []string{"error: "}, match: `^(?P<f>/.+?\.(?:swift|mm?|c|cc|cpp|h|hpp|xib|storyboard)):(?P<l>\d+):(?P<c>\d+): (?:fatal )?error: (?P<why>.+)`,
		cause: "{why}", where: "{f}:{l}:{c}", rank: rankPlace,
	},
	{
		id: "ld-symbols", has: []string{"Undefined symbols for architecture"}, match: `Undefined symbols for architecture (?P<a>\w+)`, more: []string{`^\s+"?(?P<s>.+?)"?, referenced from`},
		cause: "The linker misses a symbol[: {s}] ({a})", cure: "A pod or a framework is missing, or of another version.", rank: rankCause,
	},
	{
		id: "ld-duplicate", has: []string{"uplicate symbol"}, match: `^duplicate symbol '(?P<s>[^']+)' in`, cause: "The symbol {s} is in two libraries", cure: "Remove one of them.", rank: rankCause,
	},
	{
		id: "ld-library", has: []string{"ld: library", "ld: framework"}, match: `ld: (?P<k>library|framework) (?:not found for -l(?P<n>\S+)|'(?P<n2>[^']+)' not found|not found (?P<n3>\S+))`,
		cause: "The {k} {n}{n2}{n3} is not found", cure: "Run pod install, and build the workspace instead of the project.", rank: rankCause,
	},
	{
		id: "xcode-scheme", has: []string{"does not contain a scheme named"}, match: `The (?:workspace|project) named "(?P<w>[^"]+)" does not contain a scheme named "(?P<s>[^"]+)"`,
		cause: "{w} has no scheme named {s}", cure: "Set ios.scheme to a shared scheme.", rank: rankCause,
	},
	{
		id: "xcode-destination", has: []string{"Unable to find a destination matching"}, match: `Unable to find a destination matching`, more: []string{`error:(?P<why>iOS .+? is not installed)`},
		cause: "Xcode has no platform for this build[: {why}]", cure: "Run xcodebuild -downloadPlatform iOS on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "xcode-license", has: []string{"agreed to the Xcode license", "license agreements"}, match: `You have not agreed to the Xcode (?:and Apple SDKs )?license`,
		cause: "The Xcode license is not accepted", cure: "Run sudo xcodebuild -license accept on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "xcode-select", has: []string{"tool 'xcodebuild' requires Xcode", "xcrun: error:"}, match: `xcode-select: error: tool 'xcodebuild' requires Xcode|xcrun: error: (?P<why>.+)`,
		cause: "Xcode is not selected[: {why}]", cure: "Run sudo xcode-select -s /Applications/Xcode.app on the worker.", rank: rankCause, blame: Machine,
	},
	{
		id: "xcode-sandbox", has: []string{"deny(1) file-"}, match: `Sandbox: (?P<p>\S+?)\(\d+\) deny\(1\) (?P<op>file-\S+) (?P<f>\S+)`,
		cause: "Xcode's script sandbox forbids {p} {op} of {f}", cure: "Set ENABLE_USER_SCRIPT_SANDBOXING to NO.", rank: rankCause - 2,
	},
	{
		id: "xcode-deployment", has: []string{"compiling for iOS"}, match: `error: compiling for iOS (?P<got>[\d.]+), but module '(?P<m>[^']+)' has a minimum deployment target of iOS (?P<want>[\d.]+)`,
		cause: "The deployment target is iOS {got}, and {m} needs {want}", cure: "Raise ios.deploymentTarget (expo-build-properties).", rank: rankPlace + 1,
	},
	{
		id: "xcode-error", has: []string{"xcodebuild: error:"}, match: `xcodebuild: error: (?P<why>.+)`, cause: "xcodebuild: {why}", rank: rankSummary + 3,
	},
	{
		id: "xcode-plain", has: []string{"error: "}, match: `^error: (?P<why>.+?)(?: \(in target '(?P<t>[^']+)' from project '(?P<p>[^']+)'\))$`, cause: "{why}[ (target {t})]", rank: rankSummary + 2,
	},
	{
		id: "xcode-script", has: []string{"Command PhaseScriptExecution failed"}, match: `Command PhaseScriptExecution failed with a nonzero exit code`,
		cause: "A script phase of Xcode failed", cure: "Its own output is above.", rank: rankWrapper + 3,
	},
	{
		id: "xcode-commands", has: []string{"The following build commands failed:"}, match: `The following build commands failed:`, more: []string{`^\s+(?P<c>\S.+)`}, need: "c",
		cause: "An Xcode command failed: {c}", cure: "Its own output is above.", rank: rankWrapper,
	},
}

var signingRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "sign-no-profile", has: []string{"No profiles for"}, match: `No profiles for '(?P<b>[^']+)' were found`,
		cause: "There is no provisioning profile for {b}", cure: "Submit one with --certs.", rank: rankCause + 2,
	},
	{
		id: "sign-no-certificate", has: []string{"No signing certificate", "signing certificate"}, match: `No signing certificate "(?P<c>[^"]+)" found`,
		cause: "There is no signing certificate {c}", cure: "Submit its p12 with --certs.", rank: rankCause + 2,
	},
	{
		id: "sign-team", has: []string{"requires a development team", "requires a provisioning profile"}, match: `Signing for "(?P<t>[^"]+)" requires a development team|"(?P<t2>[^"]+)" requires a provisioning profile`,
		cause: "The target {t}{t2} has no team or provisioning profile", cure: "Set ios.appleTeamId in the app config, and submit the profile with --certs.", rank: rankCause + 1,
	},
	{
		id: "sign-profile-certificate", has: []string{"doesn't include signing certificate"}, match: `Provisioning profile "(?P<p>[^"]+)" doesn't include signing certificate "(?P<c>[^"]+)"`,
		cause: "The provisioning profile {p} is not for the certificate {c}", cure: "Make the profile again with that certificate.", rank: rankCause + 2,
	},
	{
		id: "sign-capability", has: []string{"doesn't support the", "doesn't include the"}, match: `Provisioning profile "(?P<p>[^"]+)" doesn't (?:support the (?P<c>.+?) (?:capability|entitlement)|include the (?P<e>.+?) entitlement)`,
		cause: "The provisioning profile {p} lacks {c}{e}", cure: "Add the capability to the app id, and make the profile again.", rank: rankCause + 2,
	},
	{
		id: "sign-bundle-id", has: []string{"which does not match the bundle ID"}, match: `Provisioning profile "(?P<p>[^"]+)" has app ID "(?P<a>[^"]+)", which does not match the bundle ID "(?P<b>[^"]+)"`,
		cause: "The provisioning profile {p} is for {a}, not for {b}", cure: "Submit the profile of this bundle id.", rank: rankCause + 2,
	},
	{
		id: "sign-expired", has: []string{"has expired", "expired on"}, match: `(?P<k>Provisioning profile|[Cc]ertificate) "(?P<p>[^"]+)" (?:has )?expired`,
		cause: "The {k} {p} has expired", cure: "Renew it.", rank: rankCause + 2,
	},
	{
		id: "sign-keychain", has: []string{"errSecInternalComponent", "User interaction is not allowed"}, match: `errSecInternalComponent|User interaction is not allowed`,
		cause: "codesign may not use the key: the keychain is locked", cure: "Unlock the worker's keychain and allow codesign (security set-key-partition-list).", rank: rankCause + 1, blame: Machine,
	},
	{
		id: "sign-p12", has: []string{"MAC verification failed"}, match: `MAC verification failed during PKCS12 import`,
		cause: "The p12 cannot be opened with its password", cure: "Check the password; make the file again if it is OpenSSL 3's (-legacy).", rank: rankCause + 1,
	},
	{
		id: "sign-export", has: []string{"error: exportArchive"}, match: `error: exportArchive:? (?P<why>.+)`, cause: "The archive cannot be exported: {why}", rank: rankCause,
	},
	{
		id: "sign-accounts", has: []string{"No Accounts"}, match: `error: No Accounts: (?P<why>.+)`, cause: "Xcode has no Apple account for automatic signing", cure: "Submit certificate and profile with --certs.", rank: rankCause,
	},
}
