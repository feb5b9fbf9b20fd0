package rooms

// plans are the internal packages of each module. A module that is not here has no plan yet.
func plans() map[string]plan {
	return map[string]plan{
		"services/ingest": {
			"httpapi": {}, "store": {}, "pages": {}, "signing": {}, "openapi": {},
			"farm":    {"httpapi"},
			"logs":    {"httpapi"},
			"webhook": {"httpapi", "store"},
			"objects": {"farm", "httpapi"},
			"auth":    {"httpapi", "pages", "store"},
			"legacy":  {"farm", "httpapi", "openapi", "v2"},
			"submit":  {"auth", "farm", "httpapi", "objects", "signing", "store"},
			"v1":      {"auth", "farm", "httpapi", "logs", "objects", "signing", "store", "submit"},
			"v2":      {"auth", "farm", "httpapi", "logs", "objects", "openapi", "pages", "store", "submit", "webhook"},
			"command": {"."}, "variables": {"farm", "httpapi", "openapi", "v2"}, "reuse": {"farm", "httpapi", "openapi", "v2"}, "repack": {"farm", "httpapi", "openapi", "v2"}, "buildnumbers": {"farm", "httpapi", "openapi", "v2"},
		},
		"services/scheduler": {
			"store": {}, "view": {"store"},
			"order":      {"store"},
			"admission":  {"store"},
			"transition": {"store"},
			"handout":    {"store", "transition"},
			"faults":     {"store", "transition"},
			"numbers":    {"store"}, "reuse": {"store", "transition", "view"}, "repack": {"reuse", "store"},
			"retention": {"store"},
			"rules":     {"order", "store", "transition", "view"},
			"registry":  {"handout", "retention", "store", "transition", "view"},
			"dispatch":  {"admission", "faults", "handout", "order", "registry", "rules", "store", "transition"},
			"legacy":    {"registry", "retention", "store", "transition", "view"},
			"command":   {"."},
		},
		"clients/worker": {
			"failure": {}, "farm": {}, "pace": {}, "slots": {}, "tools": {}, "buildcache": {}, "appversion": {}, "labels": {}, "artifacts": {},
			"heartbeat": {"farm", "pace"},
			"pull":      {"pace", "slots"},
			"report":    {"farm"},
			"telemetry": {"farm"},
			"transfer":  {"farm"},
			"attempt":   {"artifacts", "failure", "farm", "heartbeat", "report", "telemetry", "transfer"},
		},
		"shared/api": {"readahead": {}, "sse": {}},
		"services/artifact": {
			"meter": {}, "seal": {}, "store": {}, "ticket": {}, "variables": {"seal", "store"},
			"problem": {"store", "ticket"}, "cache": {"catalog", "store"},
			"catalog":  {"meter", "seal", "store"},
			"transfer": {"catalog", "problem", "seal", "store", "ticket"},
			"grant":    {"cache", "catalog", "store", "ticket", "variables"},
			"logs":     {"catalog", "store"},
			"janitor":  {"cache", "catalog", "store"},
			"legacy":   {"catalog", "grant", "logs", "store", "ticket"},
			"command":  {"."},
		},
		"services/monitor": {
			"store":     {},
			"watch":     {"store"},
			"telemetry": {"store"},
			"stats":     {"store"},
			"reports":   {"store"},
			"legacy":    {"reports", "store"},
			"command":   {"."},
		},
	}
}

// exception is a size above the limit that is allowed.
type exception struct {
	most int
	why  string
}

// exceptions are by the path of a file or package, or the path and name of a type. There are none.
func exceptions() map[string]exception {
	return map[string]exception{}
}
