package daemon

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// prefix of every variable of ours; what begins so and is not known is a mistake.
const prefix = "FREEAGENT_"

// configVariable names a configuration file, as --config does.
const configVariable = prefix + "CONFIG_FILE"

// sources are where settings come from: the command line goes before the environment, that before the file.
type sources struct {
	flags, environ, file map[string]string
	path                 string
}

// gather merges the sources into one set of variables. Every name that nobody knows is a fault; the variables of the other
// services are known, so that all can share a file or an environment.
func (s sources) gather(all []setting) (map[string]string, error) {
	var faults []error
	known := names(all)
	for _, name := range sorted(s.file) {
		if !slices.Contains(known, name) {
			faults = append(faults, unknown(s.path+": "+name, name, known))
		}
	}
	_, kubernetes := s.environ["KUBERNETES_SERVICE_HOST"]
	for _, name := range sorted(s.environ) {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || kubernetes && serviceLink.MatchString(name) {
			continue
		}
		faults = append(faults, unknown(name, name, known))
	}
	merged := map[string]string{}
	for _, from := range []map[string]string{s.file, s.environ, s.flags} {
		for name := range from {
			supersede(merged, name)
		}
		maps.Copy(merged, from)
	}
	return merged, errors.Join(faults...)
}

// supersede drops the other form of a secret: a --x-file on the command line goes before a variable X, and so on.
func supersede(vars map[string]string, name string) {
	if bare, isFile := strings.CutSuffix(name, "_FILE"); isFile {
		delete(vars, bare)
	} else {
		delete(vars, name+"_FILE")
	}
}

// serviceLink is what Kubernetes sets in a pod for each Service of its namespace, and ours may be called freeagent-ingest.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// names are all that may be set: these settings, the files of the secrets among them, and what other programs of ours read.
func names(all []setting) []string {
	known := Variables()
	for _, s := range all {
		known = append(known, s.name)
		if s.secret {
			known = append(known, s.name+"_FILE")
		}
	}
	return known
}

func unknown(where, name string, known []string) error {
	best, closest := "", 4
	for _, k := range known {
		if d := distance(name, k); d < closest {
			best, closest = k, d
		}
	}
	if best != "" {
		return fmt.Errorf("%s is not a setting; is %s meant?", where, best)
	}
	return fmt.Errorf("%s is not a setting of any program of Free Agent", where)
}

// distance is Levenshtein's: how many letters have to be changed, added or taken away.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}

// maxConfig is ample for a file of settings.
const maxConfig = 64 << 10

// readConfig reads a file of lines NAME=value: the form that systemd's EnvironmentFile and container engines read, too.
func readConfig(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	vars, faults := map[string]string{}, []error(nil)
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxConfig+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		_, twice := vars[name]
		switch {
		case !ok || name == "":
			// The line may hold a secret.
			faults = append(faults, fmt.Errorf("%s, line %d: want NAME=value", path, n))
		case twice:
			faults = append(faults, fmt.Errorf("%s, line %d: %s is set a second time", path, n, name))
		default:
			vars[name] = unquote(value)
		}
	}
	return vars, errors.Join(append(faults, lines.Err())...)
}

func unquote(value string) string {
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// flagName is that of a variable's flag: FREEAGENT_NATS_URL is --nats-url.
func flagName(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, prefix), "_", "-"))
}

// define gives every setting a flag; a secret has one for its file only, because command lines can be read by everybody.
func define(flags *flag.FlagSet, all []setting, to map[string]string) {
	for _, s := range all {
		name := s.name
		if s.secret {
			name += "_FILE"
		}
		set := func(value string) error { to[name] = value; return nil }
		flags.Func(flagName(name), s.help, set)
	}
}

func fromEnviron(environ []string) map[string]string { return env.ToMap(environ) }

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
