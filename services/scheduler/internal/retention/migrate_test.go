package retention_test

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/database"
)

// through shows the migrations up to a number.
type through struct {
	fs.FS
	last int
}

func (m through) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(m.FS, name)
	var some []fs.DirEntry
	for _, e := range all {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n <= m.last {
			some = append(some, e)
		}
	}
	return some, err
}

func (m through) Glob(pattern string) ([]string, error) {
	all, err := fs.Glob(m.FS, pattern)
	var some []string
	for _, name := range all {
		number, _, _ := strings.Cut(name, "_")
		if n, err := strconv.Atoi(number); err != nil || n <= m.last {
			some = append(some, name)
		}
	}
	return some, err
}

// migrateTo brings a fresh database to an older schema.
func migrateTo(t *testing.T, db *database.DB, last int) {
	t.Helper()
	dir := os.DirFS("../store/migrations/" + string(db.Dialect()))
	if err := db.Migrate(t.Context(), through{dir, last}); err != nil {
		t.Fatal(err)
	}
}
