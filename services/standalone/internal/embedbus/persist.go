package embedbus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// v0.1.0 created BUILD_LOGS with asynchronous persistence, and the server refuses an update of that. It reads the mode when it
// opens a stream, and a stream's blocks are the same in both modes, so the mode is changed in the stream's configuration file
// before the server starts (nats-server 2.15.2).

// newFile is the end of a file's name until it replaces the file.
const newFile = ".new"

// persistLogs makes the next server write a message of BUILD_LOGS before it acknowledges it. No server may run on the directory.
// After a crash at any step the next call continues.
func persistLogs(storeDir string) error {
	dir := streamDir(storeDir, bus.LogsStream)
	if err := errors.Join(finishMeta(dir), persistSync(dir)); err != nil {
		return fmt.Errorf("change how %s is persisted: %w", bus.LogsStream, err)
	}
	return nil
}

func streamDir(storeDir, stream string) string {
	return filepath.Join(storeDir, "jetstream", Account, "streams", stream)
}

func persistSync(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, server.JetStreamMetaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var info server.FileStreamInfo
	if err := json.Unmarshal(text, &info); err != nil {
		return err
	}
	if info.PersistMode != server.AsyncPersistMode {
		return nil
	}
	info.PersistMode = server.DefaultPersistMode
	if text, err = json.Marshal(info); err != nil {
		return err
	}
	return replaceMeta(dir, text)
}

// replaceMeta replaces a stream's configuration and its checksum. The server ignores a stream whose checksum is wrong, so the new
// checksum is on disk before the configuration changes.
func replaceMeta(dir string, text []byte) error {
	sum, err := metaSum(dir, text)
	if err != nil {
		return err
	}
	meta := filepath.Join(dir, server.JetStreamMetaFile)
	err = errors.Join(writeSynced(filepath.Join(dir, server.JetStreamMetaFileSum)+newFile, []byte(sum)), writeSynced(meta+newFile, text))
	if err == nil {
		err = errors.Join(syncPath(dir), os.Rename(meta+newFile, meta), syncPath(dir))
	}
	if err != nil {
		return err
	}
	return finishMeta(dir)
}

// finishMeta ends a replacement that a crash interrupted: the checksum follows its configuration, or both are forgotten.
func finishMeta(dir string) error {
	meta, sum := filepath.Join(dir, server.JetStreamMetaFile), filepath.Join(dir, server.JetStreamMetaFileSum)
	want, err := os.ReadFile(sum + newFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := os.ReadFile(meta)
	if err != nil {
		return err
	}
	have, err := metaSum(dir, text)
	if err != nil {
		return err
	}
	if have == string(want) {
		return errors.Join(os.Rename(sum+newFile, sum), syncPath(dir))
	}
	if err := os.Remove(meta + newFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(sum + newFile)
}

// metaSum is the server's checksum of a stream's configuration.
func metaSum(dir string, text []byte) (string, error) {
	key := sha256.Sum256([]byte(filepath.Base(dir)))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return "", err
	}
	_, _ = h.Write(text) // a hash returns no error
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
