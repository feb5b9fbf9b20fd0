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

func (c *Cluster) secretsDir() string { return filepath.Join(c.cfg.Dir, "secrets") }

// secret is the path of one of the files.
func (c *Cluster) secret(name string) string { return filepath.Join(c.secretsDir(), name) }

func (c *Cluster) readSecret(name string) (string, error) {
	data, err := os.ReadFile(c.secret(name))
	return strings.TrimSpace(string(data)), err
}

// routes are where the nodes of the bus reach each other.
func (c *Cluster) routes() (all []string) {
	for i := range c.cfg.Nodes {
		host, port := c.net.address(fmt.Sprintf("nats-%d", i+1)), c.ports[fmt.Sprintf("routes-%d", i+1)]
		all = append(all, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return all
}

// alone takes the cluster out of the configuration and out of the secrets: a node that is in one waits for others.
func (c *Cluster) alone(config []byte) ([]byte, error) {
	path := c.secret(secrets.BusConfig)
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
func (c *Cluster) makeSecrets() error {
	if _, err := secrets.Make(secrets.Options{Dir: c.secretsDir(), Routes: c.routes(), Database: c.databaseURL()}); err != nil {
		return err
	}
	busTLS := "tls-off.conf"
	if c.cfg.TLS {
		busTLS = "tls-on.conf"
	}
	for from, to := range map[string]string{busConfig: busConfig, busTLS: "bus-tls.conf"} {
		data, err := os.ReadFile(filepath.Join(c.cfg.Bin, from))
		if err == nil && to == busConfig && c.cfg.Nodes == 1 {
			data, err = c.alone(data)
		}
		if err == nil && to == busConfig {
			data, err = c.withRegions(data)
		}
		if err != nil {
			return fmt.Errorf("configuration of the bus: %w", err)
		}
		if err := os.WriteFile(c.secret(to), data, secretsMode); err != nil {
			return err
		}
	}
	var err1, err2 error
	c.apiKey, err1 = c.readSecret(secrets.APIKey)
	c.busPass, err2 = c.readSecret(secrets.BusPassword)
	return errors.Join(err1, err2)
}
