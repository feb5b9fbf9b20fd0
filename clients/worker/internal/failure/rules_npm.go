package failure

var npmRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "npm-lock-sync", has: []string{"can only install packages when"}, match: "`npm ci` can only install packages when",
		more: []string{`(?P<d>(?:Missing|Invalid): .+)`}, until: `Clean install a project|Usage:`,
		cause: "package.json and package-lock.json are out of sync[ ({d})]", cure: "Run npm install and commit package-lock.json.", rank: rankCause,
	},
	{
		id: "npm-no-lock", has: []string{"can only install with an existing package-lock.json"}, match: "can only install with an existing package-lock.json",
		cause: "npm ci found no package-lock.json", cure: "Run npm install and commit package-lock.json.", rank: rankCause,
	},
	{
		id: "node-options", has: []string{"is not allowed in NODE_OPTIONS", "bad option:"}, match: `node: (?P<o>\S+) is not allowed in NODE_OPTIONS|node: bad option: (?P<p>\S+)`,
		cause: "Node.js does not know the option {o}{p}", cure: "Correct NODE_OPTIONS in the profile's env.", rank: rankCause + 1,
	},
	{
		id: "npm-404", has: []string{"404 Not Found - GET", "code E404"}, match: `404 Not Found - GET (?P<url>\S+)|^npm (?:error|ERR!) code E404`,
		more: []string{`404 Not Found - GET (?P<url>\S+)`, `404\s+(?:The requested resource )?'(?P<pkg>[^']+)'(?: is not in (?:this|the npm) registry| could not be found)`,
			`404 (?P<why>no such package.*)`},
		cause: "A package is not in the registry[: {pkg}][ ({url})][: {why}]",
		cure:  "Check its name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "npm-no-version", has: []string{"No matching version found for"}, match: `No matching version found for (?P<pkg>\S+?)\.?(?: while fetching.*)?$`,
		cause: "No version of a package matches {pkg}", cure: "Correct the version in package.json.", rank: rankCause, where: "package.json",
	},
	{
		id: "npm-peer-conflict", has: []string{"code ERESOLVE", "ERESOLVE unable", "ERESOLVE could not"}, match: `^npm (?:error|ERR!) (?:code )?ERESOLVE`,
		more: []string{`(?:error|ERR!) Found: (?P<found>\S+)`, `(?:error|ERR!) (?P<peer>(?:peer(?:Optional)? )?\S+@".+?" from \S.+)`}, until: `For a full report`, need: "found",
		cause: "Peer dependencies conflict: {found} is installed[, and {peer} is needed]",
		cure:  "Align the versions (npx expo install --fix) and commit package-lock.json.", rank: rankCause, where: "package.json",
	},
	{
		id: "npm-engine", has: []string{"code EBADENGINE", "notsup Unsupported engine"}, match: `^npm (?:error|ERR!) (?:code EBADENGINE|notsup Unsupported engine)`,
		more: []string{
			`Not compatible with your version of node/npm: (?P<pkg>\S+)`, `notsup Required:\s+(?P<want>.+)`,
			`notsup Actual:.*"node":"v?(?P<got>[^"]+)"`,
		},
		cause: "{pkg} does not run with this version of Node or npm: it needs {want}[, and Node is {got}]", cure: "Set the Node version that it needs, or correct engines.",
		where: "package.json", need: "want", rank: rankCause,
	},
	{
		id: "npm-integrity", has: []string{"EINTEGRITY"}, match: `EINTEGRITY`, more: []string{`(?P<d>sha\d+-\S+ integrity checksum failed)`},
		cause: "A package does not match its checksum in package-lock.json", cure: "Run npm install and commit package-lock.json; clear the cache if it repeats.",
		rank: rankCause, where: "package-lock.json",
	},
	{
		id: "npm-auth", has: []string{"code E401", "code E403", "code ENEEDAUTH"}, match: `^npm (?:error|ERR!) code (?P<code>E401|E403|ENEEDAUTH)`,
		more:  []string{`(?:401|403) \w+ - GET (?P<url>\S+)`},
		cause: "The registry refused access ({code})[: {url}]", cure: "Pass a token that may read it with --pass-env, and name the variable in .npmrc.", rank: rankCause,
	},
	{
		id: "npm-json", has: []string{"code EJSONPARSE"}, match: `^npm (?:error|ERR!) code EJSONPARSE`,
		more:  []string{`JSONParseError: (?P<why>.+)`, `(?P<why>(?:Unexpected|Expected|Bad|Unterminated) .+JSON.*)`},
		cause: "package.json is not valid JSON[: {why}]", cure: "Correct it.", where: "package.json", rank: rankCause,
	},
	{
		id: "npm-workspace-protocol", has: []string{"Unsupported URL Type \"workspace:"}, match: `Unsupported URL Type "workspace:": (?P<spec>\S+)`,
		cause: "npm does not know the protocol {spec}", cure: "The project uses yarn, pnpm or bun workspaces: commit that tool's lock file at the workspace's root.", rank: rankCause,
	},
	{
		id: "npm-no-package-json", has: []string{"package.json"}, match: `(?:ENOENT|enoent).*no such file or directory, open '(?P<f>[^']*package\.json)'`,
		cause: "There is no package.json", where: "{f}", cure: "Submit the app's own directory.", rank: rankCause,
	},
	{
		id: "npm-missing-script", has: []string{"issing script:"}, match: `[Mm]issing script: "?(?P<s>[^"]+)"?`,
		cause: "package.json has no script named {s}", cure: "Add it to scripts, or correct the stage.", rank: rankCause, where: "package.json",
	},
	{
		id: "npm-eusage", has: []string{"code EUSAGE"}, match: `^npm (?:error|ERR!) code EUSAGE`, more: []string{`^npm (?:error|ERR!) (?P<why>[^\s].{12,})`},
		cause: "npm was called wrongly[: {why}]", rank: rankWrapper + 5,
	},
	{
		id: "npx-missing", has: []string{"npx canceled due to missing packages", "could not determine executable to run"},
		match: `npx canceled due to missing packages and no YES option: \[(?P<pkg>[^\]]*)\]|could not determine executable to run`,
		cause: "npx found no command to run[ ({pkg})]", cure: "Add the package to the project's dependencies.", rank: rankCause,
	},
	{
		id: "npm-eacces", has: []string{"code EACCES", "code EPERM"}, match: `^npm (?:error|ERR!) code (?P<code>EACCES|EPERM)`, more: []string{`path (?P<p>\S+)`},
		cause: "npm may not write[ {p}] ({code})", cure: "Check the owner of the worker's caches.", rank: rankCause, blame: Machine,
	},
	{
		id: "npm-script-failed", has: []string{"command failed", "Lifecycle script", "ERR! code ELIFECYCLE"}, match: `^npm (?:error|ERR!) command failed|Lifecycle script .(?P<cmd>[\w:-]+). failed|code ELIFECYCLE`,
		more:  []string{`^npm (?:error|ERR!) command (?:sh -c |bash -c )?(?P<cmd>[^f].*)`, `^npm (?:error|ERR!) (?P<why>\w*Error: .+)`, `^npm (?:error|ERR!) .*(?P<why>not found|No such file.*)`},
		cause: "An install script failed[: {cmd}][ ({why})]", cure: "Its own output above says why.", rank: rankWrapper,
	},
	{
		id: "node-gyp", has: []string{"gyp ERR! stack Error", "gyp ERR! find Python", "node-gyp"}, match: `gyp ERR! (?:stack Error: (?P<why>.+)|find Python (?P<py>Python is not set).*)`,
		cause: "node-gyp could not build a native module[: {why}][: {py}]", cure: "Install Python and a C++ compiler on the worker.", rank: rankCause - 1,
	},
	{
		id: "patch-package", has: []string{"Failed to apply patch for package"}, match: `Failed to apply patch for package (?P<pkg>\S+)(?: at path)?`,
		more: []string{`Patch file: (?P<f>\S+)`}, cause: "The patch for {pkg} does not apply", cure: "Make it again with npx patch-package {pkg}.", where: "{f}", rank: rankPlace,
	},
}

var yarnRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "yarn1-frozen", has: []string{"Your lockfile needs to be updated"}, match: `Your lockfile needs to be updated, but yarn was run with`,
		cause: "package.json and yarn.lock are out of sync", cure: "Run yarn install and commit yarn.lock.", rank: rankCause,
	},
	{
		id: "yarn1-not-found", has: []string{"error Couldn't find"}, match: `error Couldn't find (?:package "(?P<pkg>[^"]+)"(?: required by "(?P<by>[^"]+)")?|any versions for "(?P<p>[^"]+)" that matches "(?P<v>[^"]+)")`,
		cause: "A package is not in the registry: {pkg}{p}[@{v}][, which {by} needs]", cure: "Check its name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "yarn1-404", has: []string{"Request failed \\\"4"}, match: `error An unexpected error occurred: "(?P<url>\S+): Request failed \\"(?P<code>4\d\d [^"\\]+)`,
		cause: "The registry answered {code} for {url}", cure: "Check the package's name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "yarn1-registry", has: []string{"error Error: http"}, match: `error Error: (?P<url>https?://\S+?): (?P<why>.+)`,
		cause: "The registry did not give {url} ({why})", cure: "Check the package's name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "yarn1-engine", has: []string{"is incompatible with this module"}, match: `error (?P<pkg>\S+): The engine "(?P<e>[^"]+)" is incompatible with this module\. Expected version "(?P<want>[^"]+)"\. Got "(?P<got>[^"]+)"`,
		cause: "{pkg} needs {e} {want}, and {got} is here", cure: "Set the version that it needs, or correct engines.", where: "package.json", rank: rankCause,
	},
	{
		id: "yarn1-integrity", has: []string{"Integrity check failed for"}, match: `Integrity check failed for "(?P<pkg>[^"]+)"`,
		cause: "{pkg} does not match its checksum in yarn.lock", cure: "Run yarn install and commit yarn.lock; clear the cache if it repeats.", where: "yarn.lock", rank: rankCause,
	},
	{
		id: "yarn1-script", has: []string{": Command failed."}, match: `error (?P<p>\S+): Command failed\.`, more: []string{`^Command: (?P<cmd>.+)`, `^(?P<why>\w*Error: .+)`},
		cause: "The install script of {p} failed[: {cmd}][ ({why})]", cure: "Its own output below says why.", rank: rankWrapper,
	},
	{
		id: "yarn1-command", has: []string{"error Command \""}, match: `error Command "(?P<c>[^"]+)" not found`,
		cause: "yarn found no command or script named {c}", cure: "Add it to scripts or dependencies.", where: "package.json", rank: rankCause,
	},
	{
		id: "yarn-version", has: []string{"the current global version of Yarn is", "The current global version of Yarn is"}, match: `defines "packageManager": "(?P<want>[^"]+)"\. However the current global version of Yarn is (?P<got>[\w.-]*\w)`,
		cause: "package.json asks for {want}, and yarn {got} ran", cure: "Enable corepack on the worker.", where: "package.json", rank: rankCause,
	},
	{
		id: "yarn4-frozen", has: []string{"lockfile would have been modified by this install", "lockfile would have been created by this install"},
		match: `lockfile would have been (?:modified|created) by this install`, cause: "package.json and yarn.lock are out of sync",
		cure: "Run yarn install and commit yarn.lock.", rank: rankCause,
	},
	{
		id: "yarn4-not-in-lock", has: []string{"present in your lockfile", "doesn't seem to be part of the project"},
		match: `(?:Usage|Internal) Error: (?P<pkg>\S+): This package doesn't seem to be present in your lockfile`,
		cause: "{pkg} is not in yarn.lock", cure: "Run yarn install and commit yarn.lock.", where: "yarn.lock", rank: rankCause,
	},
	{
		id: "yarn4-404", has: []string{"Package not found", "YN0035", "No candidates found"}, match: `(?:YN0035|YN0082|YN0000).*?(?P<pkg>(?:@[\w.-]+/)?[\w.-]+@npm:\S+?): (?P<why>Package not found|No candidates found|The remote server failed to provide the requested resource)`,
		more:  []string{`Response Code: (?P<code>.+)`, `Request URL: (?P<url>\S+)`},
		cause: "{pkg}: {why}[ ({code})]", cure: "Check its name and version, and that the worker may read that registry.", where: "package.json", rank: rankCause,
	},
	{
		id: "yarn4-request", has: []string{"RequestError"}, match: `RequestError: (?P<why>.+)`, cause: "yarn could not fetch a package ({why})", cure: cureNetwork, rank: rankNetwork + 1, blame: Network,
	},
	{
		id: "yarn4-checksum", has: []string{"match the expected checksum"}, match: `(?P<pkg>\S+): The remote archive doesn't match the expected checksum`,
		cause: "{pkg} does not match its checksum in yarn.lock", cure: "Run yarn install and commit yarn.lock.", where: "yarn.lock", rank: rankCause,
	},
	{
		id: "yarn4-auth", has: []string{"YN0041"}, match: `YN0041.*?(?P<pkg>\S+): Invalid authentication`,
		cause: "The registry refused access to {pkg}", cure: "Pass a token that may read it with --pass-env, and name the variable in .yarnrc.yml.", rank: rankCause,
	},
	{
		id: "yarn4-script", has: []string{"couldn't be built successfully"}, match: `YN0009.*?(?P<pkg>(?:@[\w.-]+/)?[\w.-]+)@\S+ couldn't be built successfully \((?P<why>[^,)]+)`,
		cause: "The install script of {pkg} failed ({why})", cure: "Set enableInlineBuilds: true in .yarnrc.yml to see its output.", rank: rankWrapper + 2,
	},
	{
		id: "yarn4-error", has: []string{"YN00", "Usage Error:", "Internal Error:"}, match: `(?:^➤ )?YN00(?:0[1-9]|[1-9]\d): (?P<code>[│└┌ ]*)(?P<why>.*Error: .+)|^(?P<why2>(?:Usage|Internal) Error: .+)`,
		cause: "{why}{why2}", rank: rankSummary,
	},
}

var pnpmRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "pnpm-frozen", has: []string{"ERR_PNPM_OUTDATED_LOCKFILE"}, match: `ERR_PNPM_OUTDATED_LOCKFILE`,
		more:  []string{`\* (?P<d>.+ (?:dependencies|dependency|specifier|specifiers).+)`, `^\s*(?P<why>specifiers in the lockfile.+)`},
		cause: "package.json and pnpm-lock.yaml are out of sync: the lock file is not up to date[ ({d})]", cure: "Run pnpm install and commit pnpm-lock.yaml.", rank: rankCause,
	},
	{
		id: "pnpm-no-lock", has: []string{"ERR_PNPM_NO_LOCKFILE"}, match: `ERR_PNPM_NO_LOCKFILE`,
		cause: "There is no pnpm-lock.yaml that this pnpm can read", cure: "Run pnpm install and commit pnpm-lock.yaml.", rank: rankCause,
	},
	{
		id: "pnpm-lock-version", has: []string{"ERR_PNPM_LOCKFILE_BREAKING_CHANGE", "Ignoring not compatible lockfile"}, match: `ERR_PNPM_LOCKFILE_BREAKING_CHANGE|Ignoring not compatible lockfile`,
		cause: "pnpm-lock.yaml was written by another version of pnpm", cure: "Set packageManager in package.json to the version that wrote it.", rank: rankCause - 1,
	},
	{
		id: "pnpm-404", has: []string{"ERR_PNPM_FETCH_40", "ERR_PNPM_FETCH_41"}, match: `ERR_PNPM_FETCH_(?P<code>4\d\d)\s+GET (?P<url>\S+): (?P<why>.+)`, more: []string{`^(?P<pkg>\S+) is not in the npm registry`},
		cause: "The registry answered {code} for {url}", cure: "Check the package's name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "pnpm-engine", has: []string{"ERR_PNPM_UNSUPPORTED_ENGINE"}, match: `ERR_PNPM_UNSUPPORTED_ENGINE`, more: []string{`Expected version: (?P<want>.+)`, `Got: (?P<got>.+)`},
		cause: "The project needs another version of Node or pnpm[: {want}][, and {got} is here]", cure: "Set the version that it needs, or correct engines.", where: "package.json", rank: rankCause,
	},
	{
		id: "pnpm-version", has: []string{"ERR_PNPM_BAD_PM_VERSION", "This project is configured to use"}, match: `(?:ERR_PNPM_BAD_PM_VERSION|ERROR)\s+(?P<why>This project is configured to use .+)`,
		cause: "{why}", cure: "Enable corepack on the worker.", where: "package.json", rank: rankCause,
	},
	{
		id: "pnpm-json", has: []string{"while parsing"}, match: `ERROR\s+(?P<why>.+?) while parsing .* in (?P<f>\S+\.json)$`, more: []string{`^\s*>\s*(?P<l>\d+) \|`},
		cause: "{f} is not valid JSON: {why}", cure: "Correct it.", where: "{f}[:{l}]", rank: rankCause,
	},
	{
		id: "pnpm-workspace-package", has: []string{"ERR_PNPM_WORKSPACE_PKG_NOT_FOUND"}, match: `ERR_PNPM_WORKSPACE_PKG_NOT_FOUND\s+(?:In .*?: )?(?P<why>"?\S+?"? is in the dependencies but no package named \S+ is present in the workspace)`,
		cause: "{why}", cure: "Submit the workspace's root with all of its packages.", rank: rankCause,
	},
	{
		id: "pnpm-peers", has: []string{"ERR_PNPM_PEER_DEP_ISSUES"}, match: `ERR_PNPM_PEER_DEP_ISSUES`, more: []string{`✕ (?P<d>.+)`},
		cause: "Peer dependencies conflict[: {d}]", cure: "Align the versions and commit pnpm-lock.yaml.", where: "package.json", rank: rankCause,
	},
	{
		id: "pnpm-integrity", has: []string{"ERR_PNPM_TARBALL_INTEGRITY"}, match: `ERR_PNPM_TARBALL_INTEGRITY\s+(?P<why>.+)`,
		cause: "A package does not match its checksum: {why}", cure: "Run pnpm install and commit pnpm-lock.yaml.", where: "pnpm-lock.yaml", rank: rankCause,
	},
	{
		id: "pnpm-script", has: []string{"ELIFECYCLE"}, match: `ELIFECYCLE\s+(?P<why>Command failed.+|.+failed.*)`, cause: "A script failed: {why}", cure: "Its own output above says why.", rank: rankWrapper,
	},
	{
		id: "pnpm-error", has: []string{"ERR_PNPM_"}, match: `ERR_PNPM_(?P<code>\w+)\s+(?P<why>\S.+)`, cause: "{why}", rank: rankSummary,
	},
}

var bunRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "bun-frozen", has: []string{"lockfile had changes, but lockfile is frozen"}, match: `lockfile had changes, but lockfile is frozen`,
		cause: "package.json and bun.lock are out of sync", cure: "Run bun install and commit bun.lock.", rank: rankCause,
	},
	{
		id: "bun-404", has: []string{"error: GET http"}, match: `error: GET (?P<url>\S+) - (?P<code>\d+)`,
		cause: "The registry answered {code} for {url}", cure: "Check the package's name and version, and that the worker may read that registry.", rank: rankCause,
	},
	{
		id: "bun-no-version", has: []string{"error: No version matching"}, match: `error: No version matching "(?P<v>[^"]+)" found for specifier "(?P<p>[^"]+)"`,
		cause: "No version of a package matches {p}@{v}", cure: "Correct the version in package.json.", where: "package.json", rank: rankCause,
	},
	{
		id: "bun-resolve", has: []string{"failed to resolve"}, match: `error: (?P<p>\S+@\S+) failed to resolve`,
		cause: "bun could not resolve {p}", cure: "Check its name and version.", where: "package.json", rank: rankSummary,
	},
	{
		id: "bun-script", has: []string{"script from \""}, match: `error: (?P<s>\w+) script from "(?P<p>[^"]+)" (?P<why>exited with \d+|terminated by \S+)`,
		cause: "The {s} script of {p} failed ({why})", cure: "Its own output above says why.", rank: rankWrapper,
	},
	{
		id: "bun-json", has: []string{"package.json:"}, match: `(?:at|error:).*?(?P<f>\S*package\.json):(?P<l>\d+):(?P<c>\d+)`,
		cause: "package.json is not valid JSON", cure: "Correct it.", where: "{f}:{l}:{c}", rank: rankCause,
	},
}
