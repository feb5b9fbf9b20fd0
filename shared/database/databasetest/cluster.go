package databasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is a running PostgreSQL that listens on a Unix socket only.
type cluster struct {
	dir string
}

//nolint:gochecknoglobals // one cluster for each process: making one takes a second
var theCluster = sync.OnceValues(startCluster)

func (c *cluster) url(db string) string {
	v := url.Values{"host": {c.dir}, "user": {"freeagent"}, "sslmode": {"disable"}}
	return "postgres:///" + db + "?" + v.Encode()
}

// startCluster makes a cluster in a temporary directory. A watchdog shell holds the read end of a pipe from this process
// and stops the server and removes the directory when the pipe closes: however this process ends, SIGKILL included.
func startCluster() (*cluster, error) {
	bin, err := binDir()
	if err != nil {
		return nil, err
	}
	// Sockets have short paths, so not below a test's own directory.
	dir, err := os.MkdirTemp("/tmp", "fa-pg-")
	if err != nil {
		return nil, fmt.Errorf("directory for PostgreSQL: %w", err)
	}
	if err := own(dir); err != nil {
		return nil, err
	}
	if err := watchdog(bin, dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &cluster{dir: dir}, nil
}

// settings trade durability for speed: the data live as long as the tests. Few megabytes, many connections.
const settings = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 " +
	"-c listen_addresses='' -c shared_buffers=64MB -c unix_socket_directories="

// watchdog makes and starts the server from a shell that waits for our end, so also an end during initdb leaves nothing.
// It signals until the server is gone: one that has only just started still ignores it.
func watchdog(bin, dir string) error {
	script := `trap '' INT TERM HUP
"$1/initdb" -D "$2/data" -U freeagent -A trust -E UTF8 --locale=C --no-sync >"$2/log" 2>&1 || exit 1
"$1/postgres" -D "$2/data" ` + settings + `"$2" >>"$2/log" 2>&1 & pid=$!
cat >/dev/null
while kill -QUIT $pid 2>/dev/null; do sleep 0.1; done
rm -rf "$2"`
	cmd := exec.Command("sh", "-c", script, "sh", bin, dir) //nolint:noctx // it outlives every context and ends with the process
	asServerUser(cmd)
	cmd.Dir = "/"
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	keepOpen = pipe
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the shell, which ends with us
	return ready(&cluster{dir: dir}, ended)
}

// keepOpen is the pipe whose end is our end.
var keepOpen any //nolint:gochecknoglobals,unused // must live as long as the process

// startTimeout is long because initdb takes seconds on a busy machine.
const startTimeout = time.Minute

func ready(c *cluster, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		// Not pg_isready: small distributions of PostgreSQL come without it.
		conn, err := pgx.Connect(ctx, c.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case err = <-ended:
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
			continue
		}
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("PostgreSQL does not start: %w: %.2000s", err, log)
	}
}

// errNoPostgres names the cure.
var errNoPostgres = errors.New("no PostgreSQL binaries found (initdb, postgres); `make test` fetches them, or install them " +
	"(Debian: apt-get install postgresql; macOS: brew install postgresql@17) or name their directory in FREEAGENT_PG_BIN")

// binDir finds the newest installed binaries, or those that FREEAGENT_PG_BIN names and no others.
func binDir() (string, error) {
	if dir := os.Getenv("FREEAGENT_PG_BIN"); dir != "" {
		if !hasServer(dir) {
			return "", fmt.Errorf("FREEAGENT_PG_BIN=%s: no initdb and postgres there", dir)
		}
		return dir, nil
	}
	var candidates []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/usr/pgsql-*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		// By number, so that 9.6 does not pass for newer than 17.
		slices.SortFunc(found, func(a, b string) int { return cmp.Or(major(b)-major(a), cmp.Compare(b, a)) })
		candidates = append(candidates, found...)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, dir := range candidates {
		if hasServer(dir) {
			return dir, nil
		}
	}
	return "", errNoPostgres
}

// major returns the first number in a path, 0 without one.
func major(path string) (n int) {
	if i := strings.IndexAny(path, "0123456789"); i >= 0 {
		fmt.Sscanf(path[i:], "%d", &n) //nolint:errcheck // 0 then
	}
	return n
}

func hasServer(dir string) bool {
	return isFile(filepath.Join(dir, "initdb")) && isFile(filepath.Join(dir, "postgres"))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
