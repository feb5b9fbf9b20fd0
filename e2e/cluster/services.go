package cluster

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// servicesEnv is what all services are told; each reads its part.
func (c *Cluster) servicesEnv() []string {
	return append([]string{
		"FREEAGENT_DATABASE_URL=" + c.databaseURL(), "FREEAGENT_NATS_URL=" + c.busURL(),
		"FREEAGENT_NATS_USER=" + servicesUser, "FREEAGENT_NATS_PASSWORD=" + c.secrets.busPassword,
		"FREEAGENT_STREAM_REPLICAS=3",
		"FREEAGENT_S3_ENDPOINT=" + c.hostPort("s3"), "FREEAGENT_S3_TLS=" + strconv.FormatBool(c.tls != nil),
		"FREEAGENT_S3_ACCESS_KEY=" + s3User, "FREEAGENT_S3_SECRET_KEY=" + c.secrets.s3Key,
		"FREEAGENT_TICKET_KEY_FILE=" + c.secrets.key, "FREEAGENT_MASTER_KEY_FILE=" + c.secrets.key, "FREEAGENT_TOKEN_KEY_FILE=" + c.secrets.key,
		"FREEAGENT_API_KEY=" + c.secrets.apiKey, "FREEAGENT_BUS_ISSUER_FILE=" + c.secrets.issuerSeed, "FREEAGENT_BUS_ACCOUNT=" + account,
		"FREEAGENT_WORKER_BUS_URL=" + c.busURL(),
		"FREEAGENT_ARTIFACT_URL=" + c.scheme("http") + "://" + c.net.address("") + ":" + strconv.Itoa(c.ports["artifacts"]),
	}, append(c.tlsEnv(), c.cfg.Services...)...)
}

func (c *Cluster) tlsEnv() []string {
	if c.tls == nil {
		return nil
	}
	env := []string{
		"FREEAGENT_NATS_CA_FILE=" + c.tls.ca, "FREEAGENT_NATS_CERT_FILE=" + c.tls.cert, "FREEAGENT_NATS_KEY_FILE=" + c.tls.key,
		"FREEAGENT_S3_CA_FILE=" + c.tls.ca, "FREEAGENT_ARTIFACT_CA_FILE=" + c.tls.ca,
	}
	for _, service := range []string{"INGEST", "ARTIFACT"} {
		env = append(env, "FREEAGENT_"+service+"_CERT_FILE="+c.tls.cert, "FREEAGENT_"+service+"_KEY_FILE="+c.tls.key)
	}
	return env
}

func (c *Cluster) addServices() error {
	for _, service := range []string{"scheduler", "monitor", "artifact", "ingest"} {
		for i := range c.cfg.Replicas {
			name := fmt.Sprintf("%s-%d", service, i+1)
			env := append(c.servicesEnv(), "FREEAGENT_"+strings.ToUpper(service)+"_LISTEN="+c.hostPort(name))
			if err := c.add(name, service, env, filepath.Join(c.cfg.Bin, service)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) addWorkers() error {
	for i := range c.cfg.Workers {
		name := fmt.Sprintf("worker-%d", i+1)
		env := []string{"FREEAGENT_API_KEY=" + c.secrets.apiKey, "FREEAGENT_CA_FILE=" + c.CAFile()}
		err := c.add(name, "worker", env, filepath.Join(c.cfg.Bin, "freeagent"), "worker",
			"--server", c.url, "--name", name, "--state-dir", filepath.Join(c.cfg.Dir, name), "--slots", strconv.Itoa(c.cfg.Slots),
			"--executor", "fake", "--fake", c.cfg.Fake)
		if err != nil {
			return err
		}
	}
	return nil
}
