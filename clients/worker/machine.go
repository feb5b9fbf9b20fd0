package worker

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// machineDigest returns a digest of what of this machine builds depend on, and "" if the executor does not say. It is keyed with a key that
// never leaves the state directory: what --pass-env passes may be secret and short, and nobody who reads the farm's database can guess it.
func machineDigest(ctx context.Context, dir string, e runtime.Executor) (string, error) {
	d, ok := e.(runtime.Describer)
	if !ok {
		return "", nil
	}
	key, err := machineKey(filepath.Join(dir, "machine.key"))
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	for _, part := range append([]string{"freeagent " + version.Version}, d.Describe(ctx)...) {
		_, _ = fmt.Fprintf(mac, "%d:%s", len(part), part) // never fails
	}
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// machineKey reads the key, or makes it.
func machineKey(name string) ([]byte, error) {
	key, err := os.ReadFile(name)
	if err == nil && len(key) == sha256.Size {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the machine's digest: %w", err)
	}
	key = make([]byte, sha256.Size)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	if err := replaceFile(name, key); err != nil {
		return nil, fmt.Errorf("save the key of the machine's digest: %w", err)
	}
	return key, nil
}
