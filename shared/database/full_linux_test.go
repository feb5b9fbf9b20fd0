package database_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/database"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
	"github.com/expo-free-agent/freeagent/shared/outage"
)

// TestFullDisk: a transaction that finds the disk full is rolled back and says so; with room again, all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the small disk that this test fills")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this machine lets nobody mount the small disk that this test fills: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db := databasetest.Open(t, "sqlite://"+filepath.Join(disk, "small.db"))
	emit(t, db, "before")
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	write := func() error {
		return db.WithTx(t.Context(), func(tx *database.Tx) error {
			return tx.Emit(t.Context(), database.Message{ID: "large", Subject: "s", Payload: make([]byte, 300<<10)})
		})
	}
	if err := write(); err == nil || !strings.Contains(err.Error(), "full") || !outage.IsDiskFull(err) || !outage.IsUnavailable(err) {
		t.Errorf("WithTx on a full disk = %v, want it to say so", err)
	}
	if n := count(t, db, "SELECT count(*) FROM outbox"); n != 1 {
		t.Errorf("%d messages on the full disk, want 1", n)
	}
	_, err := database.Open(t.Context(), database.Config{URL: "sqlite://" + filepath.Join(disk, "new.db"), Service: "test"})
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("Open on a full disk = %v, want it to say so", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("WithTx with room again = %v", err)
	}
}
