package standalone

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/identity"
	"github.com/expo-free-agent/freeagent/shared/paths"
)

// dataDir is a locked data directory.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory and takes its lock; the operating system frees it when the process ends, however it ends.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be made: %w", path, cause(err))
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, cause(err))
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("data directory %s is in use by another freeagent process; stop that one or name another with --data-dir", path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &dataDir{path: path, lock: lock}, nil
}

// cause drops the path that the caller's sentence names already.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (d *dataDir) close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("release the data directory: %w", err)
	}
	return nil
}

func (d *dataDir) join(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// database is the URL of a service's own file.
func (d *dataDir) database(service string) string { return "sqlite://" + d.join(service+".db") }

// keySet holds the keys of an installation, each in a file of its own that only the owner reads.
type keySet struct {
	token, ticket, master []byte
	issuer                nkeys.KeyPair
}

const keyBytes = 32

func (d *dataDir) secrets() (keySet, error) {
	if err := os.MkdirAll(d.join("secrets"), 0o700); err != nil {
		return keySet{}, fmt.Errorf("directory for keys: %w", err)
	}
	var s keySet
	var err error
	for name, key := range map[string]*[]byte{"token": &s.token, "ticket": &s.ticket, "master": &s.master} {
		if *key, err = d.secret(filepath.Join("secrets", name+".key"), randomKey); err != nil {
			return s, err
		}
		if len(*key) != keyBytes {
			return s, d.damagedKey(name+".key", fmt.Sprintf("has %d bytes, want %d", len(*key), keyBytes))
		}
	}
	seed, err := d.secret(filepath.Join("secrets", "issuer.nk"), newIssuer)
	if err != nil {
		return s, err
	}
	if s.issuer, err = nkeys.FromSeed(bytes.TrimSpace(seed)); err != nil {
		return s, d.damagedKey("issuer.nk", "is not the seed of an NKey")
	}
	if public, err := s.issuer.PublicKey(); err != nil || !nkeys.IsValidPublicAccountKey(public) {
		return s, d.damagedKey("issuer.nk", "is the seed of another kind of NKey than an account's")
	}
	return s, nil
}

// damagedKey says how to continue without a key.
func (d *dataDir) damagedKey(name, problem string) error {
	lost := map[string]string{
		"master.key": "certificates that are stored can never be read again",
		"token.key":  "build tokens stop working",
		"ticket.key": "transfers under way are repeated",
		"issuer.nk":  "workers connect to the bus again",
	}[name]
	return fmt.Errorf("key file %s %s. Restore it from a backup; or remove it and start once with --accept-empty, which makes a new key: %s",
		d.join("secrets", name), problem, lost)
}

func randomKey() ([]byte, error) {
	key := make([]byte, keyBytes)
	_, err := rand.Read(key)
	return key, err
}

func newIssuer() ([]byte, error) {
	kp, err := nkeys.CreateAccount()
	if err != nil {
		return nil, fmt.Errorf("make the bus's signing key: %w", err)
	}
	return kp.Seed()
}

// adminKey returns the configured key, else the one in the file, which is made at the first start.
func (d *dataDir) adminKey(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	key, err := d.secret(filepath.Base(paths.AdminKeyFile(d.path)), func() ([]byte, error) { return []byte(identity.NewSecret() + "\n"), nil })
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(key))
	if err := identity.ValidKey(text); err != nil {
		return "", fmt.Errorf("%s: %w. Restore it from a backup, or remove it: the next start makes a new key", paths.AdminKeyFile(d.path), err)
	}
	return text, nil
}

// secret reads a file, or makes it: complete on disk under its name, or not there.
func (d *dataDir) secret(name string, generate func() ([]byte, error)) ([]byte, error) {
	path := d.join(name)
	data, err := os.ReadFile(path)
	if err == nil {
		return data, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if data, err = generate(); err != nil {
		return nil, err
	}
	return data, writeFile(path, data)
}

// writeFile writes a 0600 file atomically and durably.
func writeFile(path string, data []byte) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// freeSpace is how many bytes the data directory's disk has left for us.
func freeSpace(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}

// inodeReserve is how many files the data directory's file system must be able to take. Small file systems
// need not keep more than a part of their inodes.
const (
	inodeReserve      = 1000
	inodeReserveShare = 20
)

// freeInodes returns build.ErrNoSpace if the data directory's file system cannot take many more files.
// File systems without a fixed number of inodes always can.
func freeInodes(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("free inodes of %s: %w", dir, err)
	}
	all, free := uint64(st.Files), uint64(st.Ffree) //nolint:unconvert // the types differ between systems
	if reserve := min(inodeReserve, all/inodeReserveShare); all == 0 || free >= reserve {
		return nil
	}
	return fmt.Errorf("%w: the file system of %s has %d of %d inodes free; delete files that are not needed", build.ErrNoSpace, dir, free, all)
}
