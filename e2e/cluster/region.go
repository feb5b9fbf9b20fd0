package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	regionUser = "region"
	doorUser   = "door"
	// regionPermissions are what all workers together may say; each worker's own are narrower, and are enforced by the leaf node.
	regionPermissions = `{ publish: { allow: [
      "fa.logs.*.*.*", "fa.telemetry.*.*", "$KV.heartbeats.>", "fa.artifact.grant.*",
      "fa.scheduler.sync.*", "fa.scheduler.claim.*", "fa.scheduler.stage.*", "fa.scheduler.finish.*",
      "$JS.API.CONSUMER.INFO.BUILD_QUEUE.*", "$JS.API.CONSUMER.MSG.NEXT.BUILD_QUEUE.*",
      "$JS.ACK.BUILD_QUEUE.>", "$JS.ACK.*.*.BUILD_QUEUE.>"
    ] }, subscribe: { deny: ["fa.builds.>", "fa.queue.>"] } }`
)

// Region is a site of its own: workers, a leaf node that they talk to, and one line to the farm.
type Region struct{ links []*Link }

// Cut has the line go dead; Heal repairs it.
func (r *Region) Cut() {
	for _, l := range r.links {
		l.Cut()
	}
}

// Heal repairs the line.
func (r *Region) Heal() {
	for _, l := range r.links {
		l.Heal()
	}
}

// AddRegion starts a leaf node and workers of a pool by the region's name. It is not safe for concurrent use.
func (c *Cluster) AddRegion(ctx context.Context, name string, workers int) (*Region, error) {
	if len(c.free) < 4 {
		return nil, fmt.Errorf("region %s: there are no ports left", name)
	}
	r := &Region{}
	bus, err := r.link(c, c.leafPort("nats-1"))
	if err != nil {
		return nil, err
	}
	door, err := r.link(c, strings.TrimPrefix(c.url, c.scheme("http")+"://"))
	if err != nil {
		return nil, err
	}
	leaf := "leaf-" + name
	c.ports[leaf] = c.takePort()
	if err := c.addLeaf(leaf, bus); err != nil {
		return nil, err
	}
	if err := c.reachable(ctx, c.processes[len(c.processes)-1]); err != nil {
		return nil, err
	}
	for i := range workers {
		worker := fmt.Sprintf("%s-worker-%d", name, i+1)
		env := []string{"FREEAGENT_API_KEY=" + c.secrets.apiKey, "FREEAGENT_CA_FILE=" + c.CAFile(), "FREEAGENT_BUS_URL=" + c.scheme("nats") + "://" + c.hostPort(leaf)}
		err := c.add(worker, "worker", env, c.program("freeagent"), "worker", "--server", c.scheme("http")+"://"+door, "--name", worker,
			"--pool", name, "--state-dir", filepath.Join(c.cfg.Dir, worker), "--executor", "fake", "--fake", c.cfg.Fake)
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (c *Cluster) takePort() int {
	p := c.free[0]
	c.free = c.free[1:]
	return p
}

// link makes a line to an address and gives the address of its near end.
func (r *Region) link(c *Cluster, to string) (string, error) {
	near := net.JoinHostPort(c.net.address(""), strconv.Itoa(c.takePort()))
	l, err := newLink(near, to)
	if err != nil {
		return "", err
	}
	r.links, c.links = append(r.links, l), append(c.links, l)
	return near, nil
}

// addLeaf starts a node without JetStream: streams stay with the farm, whose subjects pass because both sides name the empty domain
// as the account's default (else a leaf node keeps $JS and $KV to itself). It asks the farm's gateway who its workers are through an
// account of its own (DOORS there), since the account that the gateway listens in takes no such question from a leaf node.
func (c *Cluster) addLeaf(name, hub string) error {
	config := fmt.Sprintf(`server_name: %[1]s
listen: %[2]q
TLS
default_js_domain { FA: "" }
accounts {
  FA {}
  DOORS { users: [{user: local, password: %[3]q}] }
}
authorization { timeout: 5, auth_callout { issuer: %[4]s, account: DOORS, auth_users: [local] } }
leafnodes {
  reconnect: "1s"
  remotes: [
    { url: "%[5]s://%[6]s:%[3]s@%[7]s", account: FA, TLS }
    { url: "%[5]s://%[8]s:%[3]s@%[7]s", account: DOORS, TLS }
  ]
}
`, name, c.hostPort(name), c.secrets.region, c.secrets.issuerPublic, c.scheme("nats"), regionUser, hub, doorUser)
	config = strings.ReplaceAll(config, "TLS\n", c.natsTLS())
	config = strings.ReplaceAll(config, ", TLS }", c.remoteTLS())
	file := filepath.Join(c.secrets.dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), secretsMode); err != nil {
		return err //nolint:wrapcheck // names the path
	}
	return c.add(name, "leaf", nil, c.program("nats-server"), "-c", file)
}

func (c *Cluster) remoteTLS() string {
	if c.tls == nil {
		return " }"
	}
	return fmt.Sprintf(", tls { ca_file: %q } }", c.tls.ca)
}
