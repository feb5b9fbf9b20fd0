package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// The object stores that there are.
const (
	Versitygw = "versitygw"
	MinIO     = "minio"
)

func (c *Cluster) addS3() error {
	root := filepath.Join(c.cfg.Dir, "s3")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	switch c.cfg.S3 {
	case Versitygw:
		return c.addVersitygw(root)
	case MinIO:
		return c.addMinIO(root)
	}
	return fmt.Errorf("object store %q: want %s or %s", c.cfg.S3, Versitygw, MinIO)
}

func (l *layout) s3Keys() (access, secret string, err error) {
	access, err1 := l.readSecret(secrets.S3AccessKey)
	secret, err2 := l.readSecret(secrets.S3SecretKey)
	return access, secret, errors.Join(err1, err2)
}

func (c *Cluster) addVersitygw(root string) error {
	access, secret, err := c.s3Keys()
	if err != nil {
		return err
	}
	var secure []string
	if c.tls != nil {
		secure = []string{"--cert", c.tls.cert, "--key", c.tls.key}
	}
	env := []string{"ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret}
	argv := append([]string{c.program(Versitygw), "--port", c.hostPort("s3")}, secure...)
	return c.add("s3", "s3", env, append(argv, "posix", root)...)
}

// addMinIO wants its certificate by names of its own.
func (c *Cluster) addMinIO(root string) error {
	access, secret, err := c.s3Keys()
	certs := c.secret(MinIO)
	if err = errors.Join(err, os.MkdirAll(certs, 0o700)); err == nil && c.tls != nil {
		err = errors.Join(os.Symlink(c.tls.cert, filepath.Join(certs, "public.crt")), os.Symlink(c.tls.key, filepath.Join(certs, "private.key")))
	}
	if err != nil {
		return err
	}
	env := []string{"MINIO_ROOT_USER=" + access, "MINIO_ROOT_PASSWORD=" + secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	return c.add("s3", "s3", env, c.program(MinIO), "server", "--quiet", "--address", c.hostPort("s3"), "--certs-dir", certs, root)
}
