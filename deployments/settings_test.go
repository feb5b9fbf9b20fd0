package deployments_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// root of the repository.
const root = ".."

// binaries are built once, by the commands of the Dockerfile.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries.dir != "" {
		_ = os.RemoveAll(binaries.dir)
	}
	os.Exit(code)
}

// binary is a program as an image holds it.
func binary(t *testing.T, name string) string {
	t.Helper()
	binaries.once.Do(func() {
		if binaries.dir, binaries.err = os.MkdirTemp("", "freeagent-deployments-"); binaries.err == nil { //nolint:usetesting // for all tests
			binaries.err = buildAsImages(binaries.dir)
		}
	})
	if binaries.err != nil {
		t.Fatal(binaries.err)
	}
	return filepath.Join(binaries.dir, name)
}

// madeSecrets is what `freeagent secrets` makes, by name.
func madeSecrets(t *testing.T) map[string]string {
	t.Helper()
	o := secrets.Options{
		Dir: filepath.Join(t.TempDir(), "secrets"), Routes: []string{"nats-1:6222", "nats-2:6222", "nats-3:6222"},
		Database: "postgres://freeagent@postgres:5432/freeagent?sslmode=disable",
	}
	names, err := secrets.Make(o)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, name := range names {
		made[name] = read(t, filepath.Join(o.Dir, name))
	}
	return made
}

// madeCertificates are the files of a Secret of type kubernetes.io/tls and of a ConfigMap with an authority.
func madeCertificates(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return map[string]string{"ca.crt": cert, "tls.crt": cert, "tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkConfig runs a service with --check-config in this environment, where files, by their path, are all that it sees.
func checkConfig(t *testing.T, service string, env, files map[string]string) {
	t.Helper()
	if msg, err := runCheck(t, service, env, files); err != nil {
		t.Errorf("%s --check-config: %v\n%s", service, err, msg)
	}
}

func runCheck(t *testing.T, service string, env, files map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		at := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), binary(t, service), "--check-config")
	for name, value := range env {
		if strings.HasSuffix(name, "_FILE") {
			value = filepath.Join(dir, value)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// TestCheckConfigCanFail: the check that all others rest on sees a missing file, a missing setting and a misspelled one.
func TestCheckConfigCanFail(t *testing.T) {
	t.Parallel()
	made := madeSecrets(t)
	good := func() (env, files map[string]string) {
		return map[string]string{
				"FREEAGENT_DATABASE_URL_FILE": "/s/database-url", "FREEAGENT_NATS_URL": "nats://h", "FREEAGENT_NATS_USER": "u",
				"FREEAGENT_NATS_PASSWORD_FILE": "/s/bus-password",
			}, map[string]string{
				"/s/database-url": made[secrets.DatabaseURL], "/s/bus-password": made[secrets.BusPassword],
			}
	}
	misspelled := "FREEAGENT_" + "NATS_USR" // in two, since it is on no list of ours
	env, files := good()
	checkConfig(t, "monitor", env, files)
	for want, change := range map[string]func(env, files map[string]string){
		"FREEAGENT_NATS_PASSWORD_FILE": func(_, files map[string]string) { delete(files, "/s/bus-password") },
		"FREEAGENT_NATS_URL":           func(env, _ map[string]string) { delete(env, "FREEAGENT_NATS_URL") },
		misspelled:                     func(env, _ map[string]string) { env[misspelled] = "u" },
	} {
		env, files := good()
		change(env, files)
		if out, err := runCheck(t, "monitor", env, files); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s", want, err, out)
		}
	}
}

// workerArguments wants flags that `freeagent worker` takes.
func workerArguments(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "worker" { // the image that has it as its entry point
		args = append([]string{"worker"}, args...)
	}
	accepted(t, args)
}

// accepted wants a command line that `freeagent` takes: with --help at its end it reads all of it and runs nothing.
func accepted(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, "freeagent"), append(slices.Clone(args), "--help")...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("freeagent %q: %v\n%s", args, err, out)
	}
}

func seconds(t *testing.T, duration string) int64 {
	t.Helper()
	d, err := time.ParseDuration(duration)
	if err != nil {
		t.Fatal(err)
	}
	return int64(d.Seconds())
}
