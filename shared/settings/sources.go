package settings

import (
	"bufio"
	"bytes"
	"errors"
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

// sources are where settings come from.
type sources struct {
	flags, environ, file map[string]string
	path                 string
}

// Getenv returns a function that looks variables up in an environment, as os.Getenv does.
func Getenv(environ []string) func(string) string {
	vars := env.ToMap(environ)
	return func(name string) string { return vars[name] }
}

// sources reads the configuration file, if one is named.
func (s *Set) sources(environ []string) (sources, error) {
	from := sources{flags: s.flags, environ: env.ToMap(environ), path: s.config}
	if from.path == "" {
		from.path = from.environ[configVariable]
	}
	if from.path == "" {
		return from, nil
	}
	var err error
	from.file, err = readConfig(from.path)
	return from, err
}

// merge returns one set of variables under their present names. Every name that nobody knows is a fault. The variables of other
// programs are known, so that all can share a file or an environment.
func (s *Set) merge(from sources) (map[string]string, error) {
	faults := []error{s.checkNames(from)}
	merged := map[string]string{}
	for _, source := range []map[string]string{from.file, from.environ, from.flags} {
		vars, err := s.present(source)
		faults = append(faults, err)
		for name := range vars {
			supersede(merged, name)
		}
		maps.Copy(merged, vars)
	}
	return merged, errors.Join(faults...)
}

// checkNames returns an error that names the variables that cannot be meant.
func (s *Set) checkNames(from sources) error {
	var faults []error
	known := s.known()
	for _, name := range sorted(from.file) {
		if reason := s.reason(name); reason != "" {
			faults = append(faults, fmt.Errorf("%s: %s %s: %s", from.path, name, noEffect(s.program), reason))
		} else if !slices.Contains(known, name) {
			faults = append(faults, unknown(from.path+": "+name, name, known))
		}
	}
	_, kubernetes := from.environ["KUBERNETES_SERVICE_HOST"]
	for _, name := range sorted(from.environ) {
		if reason := s.reason(name); reason != "" {
			s.warnings = append(s.warnings, warning{name: name, reason: reason})
			continue
		}
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || kubernetes && serviceLink.MatchString(name) {
			continue
		}
		faults = append(faults, unknown(name, name, known))
	}
	return errors.Join(faults...)
}

// reason says why a variable has no effect here; empty if it has one, or is none that people would expect to.
func (s *Set) reason(name string) string {
	for _, r := range Renamed() {
		if r.Old == name {
			name = r.New
		}
	}
	if reason := s.foreign[name]; reason != "" {
		return reason
	}
	return s.foreign[strings.TrimSuffix(name, "_FILE")] // of a secret
}

// present returns the variables of one source with the present names for old ones.
func (s *Set) present(source map[string]string) (map[string]string, error) {
	vars := maps.Clone(source)
	var faults []error
	for _, r := range Renamed() {
		value, used := source[r.Old]
		if !used || !s.has(r.New) {
			continue
		}
		delete(vars, r.Old)
		if today, both := vars[r.New]; both && today != value {
			faults = append(faults, fmt.Errorf("%s is the old name of %s, and the two have different values; remove %s", r.Old, r.New, r.Old))
			continue
		}
		vars[r.New] = value
		s.warnings = append(s.warnings, warning{name: r.Old, renamed: s.newName(r)})
	}
	return vars, errors.Join(faults...)
}

// newName is the flag of today for a flag that was renamed alone, else the variable.
func (s *Set) newName(r Rename) string {
	if i := slices.IndexFunc(s.all, func(one setting) bool { return one.name == r.New }); i >= 0 && strings.HasPrefix(r.Old, "--") {
		return "--" + s.all[i].flag
	}
	return r.New
}

// supersede drops the other form of a secret: --x-file on the command line overrides a variable X, and so on.
func supersede(vars map[string]string, name string) {
	if bare, isFile := strings.CutSuffix(name, "_FILE"); isFile {
		delete(vars, bare)
	} else {
		delete(vars, name+"_FILE")
	}
}

// serviceLink is what Kubernetes sets in a pod for each Service of its namespace, and ours may be called freeagent-ingest.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// known returns all names that may be set: these settings, the files of the secrets among them, and what other programs read.
func (s *Set) known() []string {
	known := Variables()
	for _, r := range Renamed() {
		known = append(known, r.Old)
	}
	for _, one := range s.all {
		known = append(known, one.name, one.onCommandLine())
	}
	return known
}

// unknown returns the error about a name, with the nearest that is known. Old names are no suggestion.
func unknown(where, name string, known []string) error {
	best, closest := "", 4
	for _, k := range known {
		if d := distance(name, k); d < closest && !slices.ContainsFunc(Renamed(), func(r Rename) bool { return r.Old == k }) {
			best, closest = k, d
		}
	}
	if best != "" {
		return fmt.Errorf("%s is not a setting; did you mean %s?", where, best)
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
		return nil, fmt.Errorf("read the configuration file: %w", err)
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("configuration file %s is longer than %d bytes", path, maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration file: %w", err)
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
			faults = append(faults, fmt.Errorf("%s, line %d: a line must be NAME=value", path, n))
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

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
