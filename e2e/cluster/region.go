package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/secrets"
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

// withRegions has the bus take leaf nodes, as docs/regions.md says.
func (l *layout) withRegions(config []byte) ([]byte, error) {
	l.region = identity.NewSecret()
	text := string(config)
	for _, change := range [][2]string{
		{"{ user: services, password: $BUS_PASSWORD }]", fmt.Sprintf(`{ user: services, password: $BUS_PASSWORD }, { user: %s, password: %q, permissions: %s }]
    exports: [{ service: "$SYS.REQ.USER.AUTH", accounts: [DOORS] }]`, regionUser, l.region, regionPermissions)},
		{"  SYS {", fmt.Sprintf(`  DOORS { users: [{ user: %s, password: %q }], imports: [{ service: { account: FA, subject: "$SYS.REQ.USER.AUTH" } }] }
  SYS {`, doorUser, l.region)},
		{"auth_users: [", fmt.Sprintf("auth_users: [%s, %s, ", regionUser, doorUser)},
	} {
		if !strings.Contains(text, change[0]) {
			return nil, fmt.Errorf("regions: there is no %q to change", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	return []byte(text + `default_js_domain { FA: "" }
leafnodes {
  listen: $NATS_LEAVES_LISTEN
  include bus-tls.conf
}
`), nil
}

// leafPort is where a node takes leaf nodes.
func (l *layout) leafPort(node string) string {
	return net.JoinHostPort(l.net.address(node), strconv.Itoa(l.ports["leaves-"+node]))
}

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
		env := []string{"FREEAGENT_API_KEY=" + c.apiKey, "FREEAGENT_CA_FILE=" + c.CAFile(), "FREEAGENT_BUS_URL=" + c.scheme("nats") + "://" + c.hostPort(leaf)}
		err := c.add(worker, "worker", env, c.program("freeagent"), "worker", "--server", c.scheme("http")+"://"+door, "--name", worker,
			"--pool", name, "--state-dir", filepath.Join(c.cfg.Dir, worker), "--executor", "fake", "--fake", c.cfg.Fake)
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (l *layout) takePort() int {
	p := l.free[0]
	l.free = l.free[1:]
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
	remoteTLS := ""
	if c.tls != nil {
		remoteTLS = fmt.Sprintf("tls { ca_file: %q }", c.tls.ca)
	}
	issuer, err := c.busKeys()
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`%[9]sserver_name: %[1]s
listen: %[2]q
include bus-tls.conf
default_js_domain { FA: "" }
accounts {
  FA {}
  DOORS { users: [{ user: local, password: %[3]q }] }
}
authorization { timeout: 5, auth_callout { issuer: $ISSUER, account: DOORS, auth_users: [local], xkey: $XKEY } }
leafnodes {
  reconnect: "1s"
  remotes: [
    { url: "%[4]s://%[5]s:%[3]s@%[6]s", account: FA, %[8]s }
    { url: "%[4]s://%[7]s:%[3]s@%[6]s", account: DOORS, %[8]s }
  ]
}
`, name, c.hostPort(name), c.region, c.scheme("nats"), regionUser, hub, doorUser, remoteTLS, issuer)
	file := c.secret(name + ".conf")
	if err := os.WriteFile(file, []byte(config), secretsMode); err != nil {
		return err
	}
	var env []string
	if c.tls != nil {
		env = []string{"NATS_CERT=" + c.tls.cert, "NATS_KEY=" + c.tls.key, "NATS_CA=" + c.tls.ca}
	}
	return c.add(name, "leaf", env, c.program("nats-server"), "-c", file)
}

// busKeys are the lines of the bus's secrets that are none: the public keys of the auth callout. A configuration may hold no line that
// it does not use.
func (l *layout) busKeys() (lines string, err error) {
	data, err := os.ReadFile(l.secret(secrets.BusConfig))
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "ISSUER") || strings.HasPrefix(line, "XKEY") {
			lines += line
		}
	}
	return lines, err
}
