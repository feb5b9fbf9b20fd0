package secrets

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/shared/identity"
)

// Options of a directory of secrets. Dir is required.
type Options struct {
	Dir string
	// Routes are the addresses, host:port, at which the nodes of the bus reach each other.
	Routes []string
	// Database is the URL without the password, such as postgres://freeagent@postgres:5432/freeagent?sslmode=verify-full.
	Database string
	// Containers lets everybody read the files, of whom the directory keeps all but their owner away: a container's user is
	// not who made them, and gets single files mounted.
	Containers bool
}

// ErrOptions is in every error about options that cannot be used.
var ErrOptions = errors.New("options of the secrets")

func (o Options) validate() error {
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("no directory is named"))
	}
	if len(o.Routes) == 0 {
		faults = append(faults, errors.New("no node of the bus is named"))
	}
	for _, route := range o.Routes {
		if host, port, err := net.SplitHostPort(route); err != nil || host == "" || port == "" {
			faults = append(faults, fmt.Errorf("bus node must be host:port (got %q)", route))
		}
	}
	u, err := url.Parse(o.Database)
	switch {
	case err != nil || u.Scheme != "postgres" || u.Host == "" || u.User.Username() == "":
		faults = append(faults, errors.New("database must be postgres://user@host/database"))
	default:
		if _, has := u.User.Password(); has {
			faults = append(faults, errors.New("database: the password is made here and must not be in the URL"))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", ErrOptions, errors.Join(faults...))
	}
	return nil
}

// Make writes what is missing and gives the names of the files that it wrote. The two that are put together from others, for
// the bus and the database, are written again when that makes them differ.
func Make(o Options) (written []string, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the secrets: %w", err)
	}
	// One that was there may be open to others.
	if err := os.Chmod(o.Dir, 0o700); err != nil { // a directory
		return nil, fmt.Errorf("directory of the secrets: %w", err)
	}
	m := maker{Options: o}
	m.make(identity.NewSecret, APIKey, BusPassword, BusRoutes, BusSystem, DatabasePassword, S3SecretKey)
	m.make(func() string { return "freeagent" }, S3AccessKey)
	m.make(newKey, TokenKey, TicketKey, MasterKey)
	m.make(func() string { return m.seed(nkeys.CreateAccount) }, BusIssuer)
	m.make(func() string { return m.seed(nkeys.CreateCurveKeys) }, BusXKey)
	m.derive(DatabaseURL, m.databaseURL)
	m.derive(BusConfig, m.busConfig)
	return m.written, m.err
}

// maker stops at its first error.
type maker struct {
	Options
	written []string
	err     error
}

const keyBytes = 32

func newKey() string {
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // documented never to fail
	return base64.StdEncoding.EncodeToString(key)
}

func (m *maker) seed(create func() (nkeys.KeyPair, error)) string {
	pair, err := create()
	if err != nil {
		m.fail(err)
		return ""
	}
	seed, err := pair.Seed()
	m.fail(err)
	return string(seed)
}

func (m *maker) fail(err error) {
	if m.err == nil && err != nil {
		m.err = fmt.Errorf("make the secrets in %s: %w", m.Dir, err)
	}
}

// make writes those files that are missing. An empty one is a fault: it may have been somebody's key.
func (m *maker) make(create func() string, names ...string) {
	for _, name := range names {
		old, err := os.ReadFile(filepath.Join(m.Dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			m.write(name, create()+"\n")
		case err != nil:
			m.fail(err)
		case len(bytes.TrimSpace(old)) == 0:
			m.fail(fmt.Errorf("%s is empty; put it back from a backup, or remove it to have a new one made", name))
		}
	}
}

func (m *maker) derive(name string, compose func() string) {
	content := compose()
	if m.err != nil {
		return
	}
	if old, err := os.ReadFile(filepath.Join(m.Dir, name)); err != nil || string(old) != content {
		m.write(name, content)
	}
}

// write never leaves half a file.
func (m *maker) write(name, content string) {
	if m.err != nil {
		return
	}
	mode := fs.FileMode(0o600)
	if m.Containers {
		mode = 0o444
	}
	path := filepath.Join(m.Dir, name)
	temporary, err := os.CreateTemp(m.Dir, "."+name+"-")
	if err != nil {
		m.fail(err)
		return
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(content)
	m.fail(errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()))
	if m.err == nil {
		m.fail(os.Rename(temporary.Name(), path))
		m.written = append(m.written, name)
	}
}

// read returns the content of a file that was made before.
func (m *maker) read(name string) string {
	data, err := os.ReadFile(filepath.Join(m.Dir, name))
	m.fail(err)
	return strings.TrimSpace(string(data))
}

func (m *maker) databaseURL() string {
	u, err := url.Parse(m.Database)
	if err != nil {
		m.fail(err)
		return ""
	}
	u.User = url.UserPassword(u.User.Username(), m.read(DatabasePassword))
	return u.String() + "\n"
}

// busConfig are variables in the bus's own language.
func (m *maker) busConfig() string {
	var routes []string
	for _, route := range m.Routes {
		u := url.URL{Scheme: "nats-route", User: url.UserPassword("routes", m.read(BusRoutes)), Host: route}
		routes = append(routes, fmt.Sprintf("%q", u.String()))
	}
	return fmt.Sprintf(`# Made by freeagent secrets; included by nats.conf.
BUS_PASSWORD: %q
SYSTEM_PASSWORD: %q
ROUTES_PASSWORD: %q
ROUTES: [%s]
ISSUER: %q
XKEY: %q
`, m.read(BusPassword), m.read(BusSystem), m.read(BusRoutes), strings.Join(routes, ", "), m.public(BusIssuer), m.public(BusXKey))
}

func (m *maker) public(name string) string {
	parse := nkeys.FromSeed
	if name == BusXKey {
		parse = nkeys.FromCurveSeed
	}
	pair, err := parse([]byte(m.read(name)))
	if err != nil {
		m.fail(fmt.Errorf("%s: %w", name, err))
		return ""
	}
	public, err := pair.PublicKey()
	m.fail(err)
	return public
}
