package failure

// machineRules are faults of the machine that builds.
var machineRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "disk-full", has: []string{"ENOSPC", "o space left on device", "isk quota exceeded", "not enough space on the disk"},
		match: `(?i)\bENOSPC\b|no space left on device|disk quota exceeded|not enough space on the disk`,
		cause: "The worker's disk is full", cure: "Free space on the worker's disk or lower the size of its caches.",
		rank: rankMachine, blame: Machine, elsewhere: true,
	},
	{
		id: "file-watchers", has: []string{"System limit for number of file watchers reached"}, match: `System limit for number of file watchers`,
		cause: "The machine's limit of file watchers is reached", cure: "Raise fs.inotify.max_user_watches on the worker.",
		rank: rankMachine + 1, blame: Machine,
	},
	{
		id: "open-files", has: []string{"EMFILE", "oo many open files"}, match: `EMFILE: too many open files|[Tt]oo many open files`,
		cause: "The limit of open files is reached", cure: "Raise the limit of the worker's service (ulimit -n).",
		rank: rankMachine, blame: Machine,
	},
	{
		id: "killed", has: []string{"Killed", "signal: killed", "SIGKILL"},
		match: `^(?:(?:/bin/)?(?:ba|z)?sh: line \d+:\s+\d+ |\S+: \d+: )?Killed(?:$|:? )|signal: killed|terminated with signal: SIGKILL`,
		cause: killedText, cure: cureMemory, rank: rankMachine - 1, blame: Machine,
	},
	{
		id: "out-of-memory", has: []string{"Cannot allocate memory", "ENOMEM"}, match: `Cannot allocate memory|\bENOMEM\b`,
		cause: "The machine's memory ran out", cure: cureMemory, rank: rankMachine, blame: Machine,
	},
	{
		id: "gradle-daemon-lost", has: []string{"Gradle build daemon disappeared"}, match: `Gradle build daemon disappeared unexpectedly`,
		cause: "Gradle's daemon was killed or crashed, most likely because the machine's memory ran out",
		cure:  cureMemory, rank: rankMachine - 1, blame: Machine,
	},
	{
		id: "no-processes", has: []string{"Resource temporarily unavailable", "EAGAIN"}, match: `fork: .*Resource temporarily unavailable|spawn \S+ EAGAIN`,
		cause: "The machine's limit of processes is reached", cure: "Raise the limit of the worker's service (ulimit -u).", rank: rankMachine, blame: Machine,
	},
	{
		id: "read-only-disk", has: []string{"EROFS", "ead-only file system"}, match: `\bEROFS\b|[Rr]ead-only file system`,
		cause: "The disk is read-only", cure: "Check the disk of the worker.", rank: rankMachine, blame: Machine,
	},
	{
		id: "command-missing", has: []string{"not found", "command not found"},
		match: `^(?:\S*/)?(?:ba|z|da)?sh: (?:line )?\d+: (?P<cmd>[\w./+-]+): (?:command )?not found$|^(?:ba|z)?sh: (?:command not found: )?(?P<cmd2>[\w./+-]+)(?:: command not found)?$`,
		cause: "The command {cmd}{cmd2} is not there", cure: "Add it to the project's dependencies, or install it on the worker.", rank: rankCause - 5,
	},
	{
		id: "gradlew-permission", has: []string{"gradlew: Permission denied"}, match: `gradlew: Permission denied`,
		cause: "android/gradlew is not executable", cure: "Run git update-index --chmod=+x android/gradlew and commit.", rank: rankCause,
	},
	{
		id: "fake", has: []string{"the fake build was told to fail"}, match: `(?P<m>Error: the fake build was told to fail)`,
		cause: "{m}", rank: rankPlain,
	},
}

// networkRules are faults of the network and of the servers behind it.
var networkRules = []entry{ //nolint:gochecknoglobals // a table
	{
		id: "npm-network", has: []string{"code E", "errno E"},
		match: `^npm (?:error|ERR!) (?:code|errno) (?P<code>ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EPIPE|ERR_SOCKET_TIMEOUT|FETCH_ERROR|EAI_FAIL)`,
		more:  []string{`request to (?P<url>\S+?),? failed`, `(?:connect|getaddrinfo) \w+ (?P<host>\S+)`},
		cause: "npm could not reach the registry[: {url}] ({code}[ {host}])", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "npm-server", has: []string{"code E50", "code E42"}, match: `^npm (?:error|ERR!) code E(?P<code>50\d|429)`,
		more:  []string{`(?:50\d|429) (?P<why>[A-Z][\w ]+) - \w+ (?P<url>\S+)`},
		cause: "The npm registry answered {code}[ {why}][ for {url}]", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "tls", has: []string{"UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT",
			"CERT_HAS_EXPIRED", "self signed certificate", "self-signed certificate", "unable to get local issuer certificate", "PKIX path building failed"},
		match: `(?P<m>UNABLE_TO_GET_ISSUER_CERT\w*|UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_HAS_EXPIRED|self[ -]signed certificate(?: in certificate chain)?|unable to get local issuer certificate|PKIX path building failed)`,
		cause: "A server's TLS certificate is not trusted ({m})",
		cure:  "If a proxy signs it, set NODE_EXTRA_CA_CERTS and SSL_CERT_FILE for the worker; else check its clock.", rank: rankNetwork + 8, blame: Network,
	},
	{
		id: "dns", has: []string{"ENOTFOUND", "EAI_AGAIN", "ould not resolve host", "UnknownHostException", "emporary failure in name resolution"},
		match: `getaddrinfo (?P<code>ENOTFOUND|EAI_AGAIN) (?P<host>[\w.:-]+)|Could not resolve host(?:name|: ) ?(?P<host2>[\w.-]+)|UnknownHostException: (?P<host3>[\w.:-]+)|[Tt]emporary failure in name resolution`,
		cause: "A host name could not be resolved[: {host}][: {host2}][: {host3}]", cure: cureNetwork, rank: rankNetwork, blame: Network,
	},
	{
		id: "connection", has: []string{"ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ERR_SOCKET_TIMEOUT"},
		match: `(?:connect|read|write|Error:) (?P<code>ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)(?: (?P<host>[\w.:\[\]-]+))?`,
		cause: "A connection failed ({code}[ {host}])", cure: cureNetwork, rank: rankNetwork, blame: Network,
	},
	{
		id: "git-host-key", has: []string{"Host key verification failed"}, match: `Host key verification failed`,
		cause: "git does not know the host key of a server", cure: "Use https instead of ssh for git dependencies.", rank: rankCause,
	},
	{
		id: "git-denied", has: []string{"Permission denied (publickey", "could not read Username for"},
		match: `Permission denied \(publickey|could not read Username for '(?P<url>[^']+)'`,
		cause: "A git repository[ at {url}] refused access", cure: "Publish the dependency, or pass a token with --pass-env and use https.", rank: rankCause,
	},
	{
		id: "git-failed", has: []string{"fatal: unable to access", "Failed to connect to", "curl: ("},
		match: `fatal: unable to access '(?P<url>[^']+)': (?P<why>.+)|Failed to connect to (?P<host>\S+) port|curl: \(\d+\) (?P<why2>(?:Failed|Could|Recv|Connection|Operation timed|SSL|OpenSSL|The requested URL returned error: 5\d\d).*)`,
		cause: "The network failed[ at {url}][: {why}][: {why2}][: {host}]", cure: cureNetwork, rank: rankNetwork, blame: Network,
	},
	{
		id: "git-ssh", has: []string{"ssh: connect to host"}, match: `ssh: connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>.+)`,
		cause: "git could not connect to {host}:{port} ({why})", cure: cureNetwork, rank: rankNetwork + 2, blame: Network,
	},
	{
		id: "gradle-server", has: []string{"Received status code 5", "Received status code 429"},
		match: `Could not (?:GET|HEAD) '(?P<url>[^']+)'\. Received status code (?P<code>\d+) from server(?:: (?P<why>.+))?`,
		cause: "A Maven repository answered {code}[ ({why})] for {url}", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "gradle-network", has: []string{"Could not GET '", "Could not HEAD '"}, match: `Could not (?:GET|HEAD) '(?P<url>[^']+)'`,
		more:  []string{`> (?P<why>(?:Connect(?:ion)? .*|Read timed out|.*timed out.*|Remote host .*|.*UnknownHostException.*|No route to host.*|Network is unreachable.*|[\w.-]+: Name or service not known|[a-z0-9-]+(?:\.[a-z0-9-]+)+))$`},
		until: `^\* Try`, need: "why",
		cause: "Gradle could not fetch {url} ({why})", cure: cureNetwork, rank: rankNetwork + 4, blame: Network,
	},
	{
		id: "gradle-distribution", has: []string{"Exception in thread \"main\" java.net.", "Exception in thread \"main\" java.io.IOException: Downloading"},
		match: `Exception in thread "main" (?P<why>java\.(?:net\.\w+|io\.IOException): .+)`, more: []string{`at org\.gradle\.wrapper\.(?P<w>\w+)`}, need: "w",
		cause: "The Gradle wrapper could not download Gradle ({why})", cure: cureNetwork, rank: rankNetwork + 6, blame: Network,
	},
	{
		id: "pods-network", has: []string{"couldn't be downloaded", "CDN: trunk"},
		match: `CDN: trunk (?:URL couldn't be downloaded: (?P<url>\S+)|Repo update failed)`, more: []string{`(?:Response|error): (?P<why>.+)`},
		cause: "CocoaPods could not reach its CDN[ ({url})]", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "yarn1-network", has: []string{"There appears to be trouble with your network", "An unexpected error occurred: \""},
		match: `error An unexpected error occurred: "(?:(?P<url>https?://\S+): )?(?P<why>(?:getaddrinfo|connect|tunneling|ESOCKET|socket|ETIMEDOUT|ECONN|Request failed \\"5\d\d)[^"]*)`,
		cause: "yarn could not fetch a package[ from {url}] ({why})", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "pnpm-network", has: []string{"ERR_PNPM_META_FETCH_FAIL", "ERR_PNPM_FETCH_5", "ERR_PNPM_FETCH_429"},
		match: `ERR_PNPM_(?:META_FETCH_FAIL|FETCH_(?:5\d\d|429))\s+GET (?P<url>\S+): (?P<why>.+)`,
		cause: "pnpm could not fetch {url} ({why})", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "bun-network", has: []string{"downloading package manifest", "downloading tarball"},
		match: `error: (?P<why>ConnectionRefused|ConnectionClosed|Timeout|DNSError|FailedToOpenSocket|\w*(?:Connection|Host|Socket|Timeout)\w*) downloading (?:package manifest|tarball) (?P<pkg>\S+)`,
		cause: "bun could not fetch {pkg} ({why})", cure: cureNetwork, rank: rankNetwork + 5, blame: Network,
	},
	{
		id: "server-error", has: []string{" - GET http", "Service Unavailable", "Bad Gateway"},
		match: `(?P<code>50[0234]) (?P<why>[A-Z][\w -]+?)(?: - GET (?P<url>\S+)|$)`,
		cause: "A server answered {code} {why}[ for {url}]", cure: cureNetwork, rank: rankNetwork, blame: Network,
	},
}

// cureNetwork is what to do about the network.
const cureNetwork = "Check the worker's connection, proxy and registry, and submit again."

const (
	killedText = "A process was killed (SIGKILL), most likely because the machine's memory ran out"
	cureMemory = "Give the worker more memory or fewer slots, or lower the memory that the tool may take: org.gradle.jvmargs for Gradle, NODE_OPTIONS for Node."
)
