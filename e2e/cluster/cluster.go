package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// Config of a cluster. Dir and Bin are required.
type Config struct {
	// Dir holds data, logs and secrets. It must be new or empty.
	Dir string
	// Bin holds the programs (freeagent, ingest, scheduler, monitor, artifact, nats-server, versitygw or minio) and the bus's
	// configuration from deployments/nats, as scripts/cluster-binaries.sh puts them there.
	Bin string
	// PostgresBin holds initdb and postgres; empty looks where systems have them.
	PostgresBin string
	// Nodes of the bus, default 3: the smallest cluster that outlives one.
	Nodes int
	// Replicas of each service, default 2; Workers, default 1.
	Replicas, Workers int
	// S3 is the object store: versitygw (the default) or minio.
	S3 string
	// Fake are the fake executor's knobs, such as slow=2s.
	Fake string
	// Slots of each worker, default 1.
	Slots int
	// Port of the gateway; 0 takes a free one.
	Port int
	// Isolate runs each process in a network of its own, so that Cut works.
	Isolate bool
	// TLS encrypts every connection, with an authority of the cluster's own.
	TLS bool
	// Services are added to the services' environment, such as FREEAGENT_HEARTBEAT_TIMEOUTS=install=5s.
	Services []string
}

// Cluster is a running installation. Its methods are safe for concurrent use once it has started.
type Cluster struct {
	layout

	spawner   *spawner
	processes []*Process
	balancers []*balancer
	links     []*Link
	url       string
}

// layout is where things are: addresses, ports, secrets and files.
type layout struct {
	cfg     Config
	net     network
	ports   map[string]int
	free    []int // ports of what is added later
	apiKey  string
	busPass string
	region  string        // password of the regions
	tls     *certificates // nil: none
}

func (c *Config) setDefaults() error {
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if c.Bin, err = filepath.Abs(c.Bin); err != nil {
		return err
	}
	if c.Replicas == 0 {
		c.Replicas = 2
	}
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if c.S3 == "" {
		c.S3 = Versitygw
	}
	c.Slots = max(c.Slots, 1)
	if c.PostgresBin == "" {
		c.PostgresBin, err = findPostgres()
	}
	return err
}

// spare is how many ports are kept for regions.
const spare = 8

func (c Config) names() (names []string) {
	for i := range c.Nodes {
		names = append(names, fmt.Sprintf("nats-%d", i+1))
	}
	names = append(names, "postgres", "s3")
	for _, service := range []string{"scheduler", "monitor", "artifact", "ingest"} {
		for i := range c.Replicas {
			names = append(names, fmt.Sprintf("%s-%d", service, i+1))
		}
	}
	for i := range c.Workers {
		names = append(names, fmt.Sprintf("worker-%d", i+1))
	}
	return names
}

// Start runs a cluster until Stop, and returns when it takes builds.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	c := &Cluster{layout: layout{cfg: cfg, net: loopback{}, ports: map[string]int{}}, spawner: newSpawner()}
	err := c.prepare()
	if err == nil {
		err = c.startAll(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) prepare() error {
	if err := os.MkdirAll(filepath.Join(c.cfg.Dir, "log"), 0o755); err != nil { // PostgreSQL's user passes through
		return err
	}
	names := c.cfg.names()
	ports, err := freePorts(len(names) + 2*c.cfg.Nodes + 2 + spare)
	if err != nil {
		return err
	}
	slots := append(slices.Clone(names), "front", "artifacts")
	for i := range c.cfg.Nodes {
		slots = append(slots, fmt.Sprintf("routes-%d", i+1), fmt.Sprintf("leaves-nats-%d", i+1))
	}
	for i, name := range slots {
		c.ports[name] = ports[i]
	}
	c.free = ports[len(slots):]
	if c.cfg.Port > 0 {
		c.ports["front"] = c.cfg.Port
	}
	if c.cfg.Isolate {
		n, err := newNamespaces(names)
		if err != nil {
			return err
		}
		c.net = n
	}
	if err := c.makeSecrets(); err != nil || !c.cfg.TLS {
		return err
	}
	addresses := []string{c.net.address("")}
	for _, name := range names {
		addresses = append(addresses, c.net.address(name))
	}
	c.tls, err = newCertificates(c.secretsDir(), addresses)
	return err
}

// hostPort is where a process listens.
func (l *layout) hostPort(name string) string {
	return net.JoinHostPort(l.net.address(name), strconv.Itoa(l.ports[name]))
}

// startAll starts the engines first, then what needs them.
func (c *Cluster) startAll(ctx context.Context) error {
	if err := c.addEngines(); err != nil {
		return err
	}
	if err := c.listening(ctx); err != nil {
		return err
	}
	if err := c.addServices(); err != nil {
		return err
	}
	if err := c.balance(); err != nil {
		return err
	}
	if err := c.Ready(ctx); err != nil {
		return err
	}
	return c.addWorkers()
}

// balance puts one address in front of the gateways and one in front of the artifact services.
func (c *Cluster) balance() error {
	for _, b := range []struct{ name, service string }{{"front", "ingest"}, {"artifacts", "artifact"}} {
		var backends []string
		for _, p := range c.processes {
			if p.Kind == b.service {
				backends = append(backends, c.hostPort(p.Name))
			}
		}
		lb, err := newBalancer(net.JoinHostPort(c.net.address(""), strconv.Itoa(c.ports[b.name])), c.scheme("http")+"://", c.CAFile(), backends)
		if err != nil {
			return err
		}
		c.balancers = append(c.balancers, lb)
	}
	c.url = c.balancers[0].url()
	return nil
}

// program is one of Bin.
func (l *layout) program(name string) string { return filepath.Join(l.cfg.Bin, name) }

// add starts a process of the cluster.
func (c *Cluster) add(name, kind string, env []string, argv ...string) error {
	log, err := os.OpenFile(filepath.Join(c.cfg.Dir, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p := &Process{
		Name: name, Kind: kind, argv: c.net.wrap(name, argv), env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.cfg.Dir}, env...), log: log,
		spawn: func(cmd *exec.Cmd) error {
			ownGroup(cmd)
			if kind == "postgres" && !c.cfg.Isolate {
				asPostgres(cmd)
			}
			return c.spawner.start(cmd)
		},
	}
	c.processes = append(c.processes, p)
	return p.Start()
}

// scheme is http or https, nats or tls.
func (l *layout) scheme(plain string) string {
	switch {
	case l.tls == nil:
		return plain
	case plain == "nats":
		return "tls"
	default:
		return plain + "s"
	}
}

// CAFile is that of the cluster's authority; empty without TLS.
func (l *layout) CAFile() string {
	if l.tls == nil {
		return ""
	}
	return l.tls.ca
}

// URL is the gateway's address, Key an administrator's API key.
func (c *Cluster) URL() string { return c.url }

// Key is an administrator's API key.
func (l *layout) Key() string { return l.apiKey }

// BusURL names all nodes; User and Password are the services'.
func (l *layout) BusURL() (url, user, password string) {
	return l.busURL(), secrets.BusUser, l.busPass
}

// HostAddress is where processes of the cluster reach what listens outside of it.
func (l *layout) HostAddress() string { return l.net.address("") }

// DatabaseURL is that of the services' database, with its password.
func (l *layout) DatabaseURL() (string, error) { return l.readSecret(secrets.DatabaseURL) }

// Processes are all there are, in the order in which they were started.
func (c *Cluster) Processes() []*Process { return slices.Clone(c.processes) }

// Cut takes a process off the network; Heal puts it back.
func (c *Cluster) Cut(name string) error { return c.net.cut(name) }

// Heal puts a process back that was cut off.
func (c *Cluster) Heal(name string) error { return c.net.heal(name) }

// Stop ends everything, the last started first, and leaves the data.
func (c *Cluster) Stop() error {
	var errs []error
	for _, p := range slices.Backward(c.processes) {
		errs = append(errs, p.Resume(), p.Stop(), p.log.Close())
	}
	for _, l := range c.links {
		l.close()
	}
	for _, b := range c.balancers {
		b.close()
	}
	c.spawner.stop()
	return errors.Join(append(errs, c.net.close())...)
}
