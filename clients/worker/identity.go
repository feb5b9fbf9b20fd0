package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// identity is the worker's on the bus. It survives restarts.
type identity struct {
	WorkerID string `json:"worker_id"`
	Secret   string `json:"secret"`
}

func identityFile(dir string) string { return filepath.Join(dir, "identity.json") }

// loadIdentity returns the zero identity if there is none yet.
func loadIdentity(dir string) (id identity, err error) {
	data, err := os.ReadFile(identityFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read the worker's identity: %w", err)
	}
	return id, nil
}

// saveIdentity replaces the file as a whole: a crash leaves the old or the new one.
func saveIdentity(dir string, id identity) error {
	data, err := json.Marshal(id) // the secret's one place, 0600
	if err == nil {
		err = replaceFile(identityFile(dir), data)
	}
	if err != nil {
		return fmt.Errorf("save the worker's identity: %w", err)
	}
	return nil
}

func replaceFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
