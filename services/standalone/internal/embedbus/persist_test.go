package embedbus

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/expo-free-agent/freeagent/shared/bus"
)

// TestSyncFindsTheStreams: Sync goes by the server's directories. Another version might name them differently.
func TestSyncFindsTheStreams(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, dir := range b.outboxes.dirs {
		if blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk")); err != nil || len(blocks) == 0 {
			t.Errorf("%s has no blocks, %v", dir, err)
		}
	}
	if err := b.Sync(); err != nil {
		t.Error(err)
	}
}

// TestAnInterruptedUpgradeGoesOn: a crash after any step of the change of BUILD_LOGS leaves a directory that the next start takes,
// with the stream and what is in it.
func TestAnInterruptedUpgradeGoesOn(t *testing.T) {
	t.Parallel()
	for _, renamed := range []bool{false, true} {
		t.Run(fmt.Sprint("configuration renamed: ", renamed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, js, err := openWith(dir, asV010())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), bus.LogSubject("w1", "b0", 1), []byte("old")); err != nil {
				t.Fatal(err)
			}
			s.Close()
			logs := streamDir(dir, bus.LogsStream)
			meta, sum := filepath.Join(logs, server.JetStreamMetaFile), filepath.Join(logs, server.JetStreamMetaFileSum)
			text, old := read(t, meta), read(t, sum)
			if err := persistLogs(dir); err != nil {
				t.Fatal(err)
			}
			write(t, meta+newFile, read(t, meta))
			write(t, sum+newFile, read(t, sum))
			write(t, sum, old)
			if renamed {
				if err := os.Remove(meta + newFile); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, meta, text)
			}
			s, js, err = open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			stream, err := js.Stream(t.Context(), bus.LogsStream)
			if err != nil {
				t.Fatal(err)
			}
			if i := stream.CachedInfo(); i.State.Msgs != 1 || i.Config.PersistMode != jetstream.DefaultPersistMode {
				t.Errorf("%d messages, persist mode %v; want 1 and the default", i.State.Msgs, i.Config.PersistMode)
			}
			if left, err := filepath.Glob(filepath.Join(logs, "*"+newFile)); err != nil || len(left) > 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
