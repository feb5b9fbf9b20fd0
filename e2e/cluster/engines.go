package cluster

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

const dbUser = "freeagent"

func (c *Cluster) addEngines() error {
	for i := range c.cfg.Nodes {
		if err := c.addNATS(i + 1); err != nil {
			return err
		}
	}
	return errors.Join(c.addPostgres(), c.addS3())
}

func (l *layout) busURL() string {
	var urls []string
	for i := range l.cfg.Nodes {
		urls = append(urls, l.scheme("nats")+"://"+l.hostPort(fmt.Sprintf("nats-%d", i+1)))
	}
	return strings.Join(urls, ",")
}

// addNATS starts a node with the configuration that deployments ship.
func (c *Cluster) addNATS(n int) error {
	name := fmt.Sprintf("nats-%d", n)
	env := []string{
		"NATS_LEAVES_LISTEN=" + c.leafPort(name), "NATS_NAME=" + name, "NATS_LISTEN=" + c.hostPort(name),
		"NATS_ROUTES_LISTEN=" + c.routes()[n-1], "NATS_STORE=" + filepath.Join(c.cfg.Dir, name),
		"NATS_MEMORY_STORE=256MB", "NATS_FILE_STORE=4GB",
	}
	if c.tls != nil {
		env = append(env, "NATS_CERT="+c.tls.cert, "NATS_KEY="+c.tls.key, "NATS_CA="+c.tls.ca)
	}
	return c.add(name, "nats", env, c.program("nats-server"), "-c", c.secret(busConfig))
}

// addPostgres makes a database with passwords and starts it, durable as in production.
func (c *Cluster) addPostgres() error {
	dir := filepath.Join(c.cfg.Dir, "postgres")
	password := filepath.Join(dir, secrets.DatabasePassword) // a copy, for its own user
	secret, err := os.ReadFile(c.secret(secrets.DatabasePassword))
	err = errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(password, secret, secretsMode))
	if uid, gid, ok := postgresUser(); ok {
		err = errors.Join(err, os.Chown(dir, uid, gid), os.Chown(password, uid, gid))
	}
	if err != nil {
		return fmt.Errorf("directory of PostgreSQL: %w", err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(c.cfg.PostgresBin, "initdb"), "-D", data, "-U", dbUser, //nolint:noctx // as found
		"-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale=C")
	asPostgres(initdb)
	initdb.Dir = "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
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

// databaseURL is without the password.
func (l *layout) databaseURL() string {
	u := url.URL{
		Scheme: "postgres", User: url.User(dbUser), Host: l.hostPort("postgres"), Path: "postgres", RawQuery: "sslmode=disable",
	}
	if l.cfg.TLS {
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {l.secret(caFile)}}.Encode()
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
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
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
