package cluster

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"crypto/rand"

	"github.com/nats-io/nkeys"
)

const (
	servicesUser = "services"
	sysUser      = "sys"
	account      = "FA"
	s3User       = "freeagent"
	dbUser       = "freeagent"
)

func (s *secrets) makeKeys() error {
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		return fmt.Errorf("issuer of the bus: %w", err)
	}
	seed, err1 := issuer.Seed()
	public, err2 := issuer.PublicKey()
	raw := make([]byte, 32)
	_, err3 := rand.Read(raw)
	s.issuerPublic = public
	s.issuerSeed, s.key = filepath.Join(s.dir, "issuer"), filepath.Join(s.dir, "key")
	return errors.Join(err1, err2, err3,
		os.WriteFile(s.issuerSeed, seed, secretsMode),
		os.WriteFile(s.key, []byte(base64.StdEncoding.EncodeToString(raw)), secretsMode),
		os.WriteFile(filepath.Join(s.dir, "api-key"), []byte(s.apiKey+"\n"), secretsMode),
	)
}

func (c *Cluster) addEngines() error {
	for i := range natsNodes {
		if err := c.addNATS(i + 1); err != nil {
			return err
		}
	}
	return errors.Join(c.addPostgres(), c.addS3())
}

func (c *Cluster) busURL() string {
	var urls []string
	for i := range natsNodes {
		urls = append(urls, c.scheme("nats")+"://"+c.hostPort(fmt.Sprintf("nats-%d", i+1)))
	}
	return strings.Join(urls, ",")
}

// leafPort is where a node takes leaf nodes of regions.
func (c *Cluster) leafPort(node string) string {
	return net.JoinHostPort(c.net.address(node), strconv.Itoa(c.ports["leaves-"+node]))
}

// addNATS starts a node. It syncs before it acknowledges (docs/decisions/0007), and tells clients of no other nodes: they know all.
func (c *Cluster) addNATS(n int) error {
	name := fmt.Sprintf("nats-%d", n)
	var routes []string
	for i := range natsNodes {
		if i+1 != n {
			routes = append(routes, fmt.Sprintf("nats-route://routes:%s@%s:%d", c.secrets.routes,
				c.net.address(fmt.Sprintf("nats-%d", i+1)), c.ports[fmt.Sprintf("routes-%d", i+1)]))
		}
	}
	config := fmt.Sprintf(`server_name: %s
listen: %q
max_payload: 1MB
ping_interval: 10s
ping_max: 2
TLS
jetstream { store_dir: %q, sync_interval: always, max_memory_store: 256MB, max_file_store: 4GB }
cluster {
  name: freeagent, listen: "%s:%d", no_advertise: true
  authorization { user: routes, password: %q, timeout: 2 }
  routes: [%s]
TLS
}
leafnodes { listen: %q
TLS
}
default_js_domain { FA: "" }
accounts {
  FA {
    jetstream: enabled
    users: [{user: %s, password: %q}, {user: %s, password: %q, permissions: %s}]
    exports: [{service: "$SYS.REQ.USER.AUTH", accounts: [DOORS]}]
  }
  DOORS { users: [{user: %s, password: %q}], imports: [{service: {account: FA, subject: "$SYS.REQ.USER.AUTH"}}] }
  SYS { users: [{user: %s, password: %q}] }
}
system_account: SYS
authorization { timeout: 5, auth_callout { issuer: %s, account: %s, auth_users: [%s] } }
`, name, c.hostPort(name), filepath.Join(c.cfg.Dir, name), c.net.address(name), c.ports[fmt.Sprintf("routes-%d", n)],
		c.secrets.routes, `"`+strings.Join(routes, `", "`)+`"`, c.leafPort(name),
		servicesUser, c.secrets.busPassword, regionUser, c.secrets.region, regionPermissions, doorUser, c.secrets.region, sysUser, c.secrets.routes,
		c.secrets.issuerPublic, account, strings.Join([]string{servicesUser, sysUser, regionUser, doorUser}, ", "))
	config = strings.ReplaceAll(config, "TLS\n", c.natsTLS())
	file := filepath.Join(c.secrets.dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), secretsMode); err != nil {
		return err //nolint:wrapcheck // names the path
	}
	return c.add(name, "nats", nil, filepath.Join(c.cfg.Bin, "nats-server"), "-c", file)
}

func (c *Cluster) natsTLS() string {
	if c.tls == nil {
		return ""
	}
	return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, timeout: 5 }\n", c.tls.cert, c.tls.key, c.tls.ca)
}

// addPostgres makes a database with passwords and starts it, durable as in production.
func (c *Cluster) addPostgres() error {
	dir, password := filepath.Join(c.cfg.Dir, "postgres"), filepath.Join(c.secrets.dir, "db-password")
	err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(password, []byte(c.secrets.dbPassword), secretsMode))
	if uid, gid, ok := postgresUser(); ok {
		err = errors.Join(err, os.Chown(dir, uid, gid), os.Chown(password, uid, gid))
	}
	if err != nil {
		return fmt.Errorf("directory of PostgreSQL: %w", err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(c.cfg.PostgresBin, "initdb"), "-D", data, "-U", dbUser, //nolint:gosec,noctx // as found
		"-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale=C")
	asPostgres(initdb)
	initdb.Dir = "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err //nolint:wrapcheck // names the path
	}
	_, err = hba.WriteString("host all all 10.77.0.0/16 scram-sha-256\n")
	if err := errors.Join(err, hba.Close()); err != nil {
		return err
	}
	argv := []string{
		filepath.Join(c.cfg.PostgresBin, "postgres"), "-D", data, "-c", "listen_addresses=" + c.net.address("postgres"),
		"-c", "port=" + strconv.Itoa(c.ports["postgres"]), "-c", "unix_socket_directories=", "-c", "max_connections=200",
	}
	uid, gid, ok := postgresUser()
	if c.tls != nil {
		cert, key, err := c.tls.copyFor(dir, uid, gid, ok)
		if err != nil {
			return err
		}
		argv = append(argv, "-c", "ssl=on", "-c", "ssl_cert_file="+cert, "-c", "ssl_key_file="+key)
	}
	if ok && c.cfg.Isolate { // entering the namespace takes root, running PostgreSQL forbids it
		argv = append([]string{"setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(gid), "--clear-groups"}, argv...)
	}
	return c.add("postgres", "postgres", nil, argv...)
}

func (c *Cluster) databaseURL() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(dbUser, c.secrets.dbPassword), Host: c.hostPort("postgres"), Path: "postgres",
		RawQuery: "sslmode=disable",
	}
	if c.tls != nil {
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {c.tls.ca}}.Encode()
	}
	return u.String()
}

// postgresUser is who PostgreSQL runs as when we are root, which it refuses.
func postgresUser() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return uid, gid, true
		}
	}
	return 0, 0, false
}

func asPostgres(cmd *exec.Cmd) {
	uid, gid, ok := postgresUser()
	if !ok {
		return
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids
}

func findPostgres() (string, error) {
	if dir := os.Getenv("FREEAGENT_PG_BIN"); dir != "" {
		return dir, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	brew, _ := filepath.Glob("/opt/homebrew/opt/postgresql*/bin")
	for _, dir := range slices.Backward(append(brew, found...)) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("no PostgreSQL found (initdb, postgres): install it (Debian: apt-get install postgresql; " +
		"macOS: brew install postgresql@17) or name its directory in FREEAGENT_PG_BIN")
}
