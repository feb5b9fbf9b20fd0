package cluster

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// servicesEnv is what all services are told; each reads its part. Secrets are in files.
func (l *layout) servicesEnv() []string {
	return append([]string{
		"FREEAGENT_DATABASE_URL_FILE=" + l.secret(secrets.DatabaseURL), "FREEAGENT_NATS_URL=" + l.busURL(),
		"FREEAGENT_NATS_USER=" + secrets.BusUser, "FREEAGENT_NATS_PASSWORD_FILE=" + l.secret(secrets.BusPassword),
		"FREEAGENT_STREAM_REPLICAS=" + strconv.Itoa(l.cfg.Nodes),
		"FREEAGENT_S3_ENDPOINT=" + l.hostPort("s3"), "FREEAGENT_S3_TLS=" + strconv.FormatBool(l.tls != nil),
		"FREEAGENT_S3_ACCESS_KEY_FILE=" + l.secret(secrets.S3AccessKey), "FREEAGENT_S3_SECRET_KEY_FILE=" + l.secret(secrets.S3SecretKey),
		"FREEAGENT_TICKET_KEY_FILE=" + l.secret(secrets.TicketKey), "FREEAGENT_MASTER_KEY_FILE=" + l.secret(secrets.MasterKey),
		"FREEAGENT_TOKEN_KEY_FILE=" + l.secret(secrets.TokenKey), "FREEAGENT_API_KEY_FILE=" + l.secret(secrets.APIKey),
		"FREEAGENT_BUS_ISSUER_FILE=" + l.secret(secrets.BusIssuer), "FREEAGENT_BUS_XKEY_FILE=" + l.secret(secrets.BusXKey),
		"FREEAGENT_BUS_ACCOUNT=" + secrets.BusAccount,
		"FREEAGENT_WORKER_BUS_URL=" + l.busURL(),
		"FREEAGENT_ARTIFACT_URL=" + l.scheme("http") + "://" + l.net.address("") + ":" + strconv.Itoa(l.ports["artifacts"]),
	}, append(l.tlsEnv(), l.cfg.Services...)...)
}

func (l *layout) tlsEnv() []string {
	if l.tls == nil {
		return nil
	}
	env := []string{
		"FREEAGENT_NATS_CA_FILE=" + l.tls.ca, "FREEAGENT_NATS_CERT_FILE=" + l.tls.cert, "FREEAGENT_NATS_KEY_FILE=" + l.tls.key,
		"FREEAGENT_S3_CA_FILE=" + l.tls.ca, "FREEAGENT_ARTIFACT_CA_FILE=" + l.tls.ca,
	}
	for _, service := range []string{"INGEST", "ARTIFACT"} {
		env = append(env, "FREEAGENT_"+service+"_CERT_FILE="+l.tls.cert, "FREEAGENT_"+service+"_KEY_FILE="+l.tls.key)
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
		env := []string{"FREEAGENT_API_KEY=" + c.apiKey, "FREEAGENT_CA_FILE=" + c.CAFile()}
		err := c.add(name, "worker", env, filepath.Join(c.cfg.Bin, "freeagent"), "worker",
			"--server", c.url, "--name", name, "--state-dir", filepath.Join(c.cfg.Dir, name), "--slots", strconv.Itoa(c.cfg.Slots),
			"--executor", "fake", "--fake", c.cfg.Fake)
		if err != nil {
			return err
		}
	}
	return nil
}
