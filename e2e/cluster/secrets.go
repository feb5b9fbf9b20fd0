package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

const (
	secretsMode = 0o600
	busConfig   = "nats.conf"
)

func (l *layout) secretsDir() string { return filepath.Join(l.cfg.Dir, "secrets") }

// secret is the path of one of the files.
func (l *layout) secret(name string) string { return filepath.Join(l.secretsDir(), name) }

func (l *layout) readSecret(name string) (string, error) {
	data, err := os.ReadFile(l.secret(name))
	return strings.TrimSpace(string(data)), err
}

// routes are where the nodes of the bus reach each other.
func (l *layout) routes() (all []string) {
	for i := range l.cfg.Nodes {
		host, port := l.net.address(fmt.Sprintf("nats-%d", i+1)), l.ports[fmt.Sprintf("routes-%d", i+1)]
		all = append(all, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return all
}

// alone takes the cluster out of the configuration and out of the secrets: a node that is in one waits for others.
func (l *layout) alone(config []byte) ([]byte, error) {
	path := l.secret(secrets.BusConfig)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(strings.SplitAfter(string(data), "\n"), func(line string) bool { return strings.HasPrefix(line, "ROUTES") })
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), secretsMode); err != nil {
		return nil, err
	}
	before, rest, found := strings.Cut(string(config), "\ncluster {\n")
	_, after, ended := strings.Cut(rest, "\n}\n")
	if !found || !ended {
		return nil, errors.New("no block \"cluster\" in the configuration of the bus")
	}
	return []byte(before + "\n" + after), nil
}

// makeSecrets makes them as `freeagent secrets` does, and puts the bus's configuration beside those that it includes.
func (l *layout) makeSecrets() error {
	if _, err := secrets.Make(secrets.Options{Dir: l.secretsDir(), Routes: l.routes(), Database: l.databaseURL()}); err != nil {
		return err
	}
	busTLS := "tls-off.conf"
	if l.cfg.TLS {
		busTLS = "tls-on.conf"
	}
	for from, to := range map[string]string{busConfig: busConfig, busTLS: "bus-tls.conf"} {
		data, err := os.ReadFile(filepath.Join(l.cfg.Bin, from))
		if err == nil && to == busConfig && l.cfg.Nodes == 1 {
			data, err = l.alone(data)
		}
		if err == nil && to == busConfig {
			data, err = l.withRegions(data)
		}
		if err != nil {
			return fmt.Errorf("configuration of the bus: %w", err)
		}
		if err := os.WriteFile(l.secret(to), data, secretsMode); err != nil {
			return err
		}
	}
	var err1, err2 error
	l.apiKey, err1 = l.readSecret(secrets.APIKey)
	l.busPass, err2 = l.readSecret(secrets.BusPassword)
	return errors.Join(err1, err2)
}
