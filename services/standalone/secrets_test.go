package standalone_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/services/standalone"
)

func TestSecretsCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	call := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := standalone.NewSecrets(&out)
		cmd.SetArgs(append([]string{dir}, args...))
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&bytes.Buffer{})
		err := cmd.Execute()
		return out.String(), err
	}
	if out, err := call(); err != nil || !strings.Contains(out, "master-key") {
		t.Errorf("freeagent secrets = %q, %v, want what it wrote", out, err)
	}
	if out, err := call(); err != nil || !strings.Contains(out, "already") {
		t.Errorf("freeagent secrets again = %q, %v, want nothing to do", out, err)
	}
	if out, err := call("--bus-node", "bus-1:6222"); err != nil || !strings.Contains(out, ": bus-secrets.conf\n") {
		t.Errorf("freeagent secrets for another bus = %q, %v, want its configuration changed", out, err)
	}
	if _, err := call("--database", "mysql://h/d"); err == nil || !strings.Contains(err.Error(), "postgres://") {
		t.Errorf("freeagent secrets --database mysql: %v, want it refused", err)
	}
}
