package legacydb

// schema is the legacy controller's, as it creates it itself.
const schema = `
CREATE TABLE workers (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'idle', capabilities TEXT NOT NULL,
  registered_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL,
  builds_completed INTEGER DEFAULT 0, builds_failed INTEGER DEFAULT 0
);
CREATE TABLE builds (
  id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'pending', platform TEXT NOT NULL, source_path TEXT NOT NULL,
  certs_path TEXT, result_path TEXT, worker_id TEXT, submitted_at INTEGER NOT NULL, started_at INTEGER,
  completed_at INTEGER, error_message TEXT, access_token TEXT NOT NULL,
  FOREIGN KEY (worker_id) REFERENCES workers(id)
);
CREATE TABLE build_logs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, build_id TEXT NOT NULL, timestamp INTEGER NOT NULL, level TEXT NOT NULL,
  message TEXT NOT NULL, FOREIGN KEY (build_id) REFERENCES builds(id)
);
CREATE TABLE diagnostics (
  id TEXT PRIMARY KEY, worker_id TEXT NOT NULL, status TEXT NOT NULL, run_at INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
  auto_fixed INTEGER DEFAULT 0, checks TEXT NOT NULL, FOREIGN KEY (worker_id) REFERENCES workers(id)
);
CREATE TABLE cpu_snapshots (
  id INTEGER PRIMARY KEY AUTOINCREMENT, build_id TEXT NOT NULL, timestamp INTEGER NOT NULL, cpu_percent REAL NOT NULL,
  memory_mb REAL NOT NULL, FOREIGN KEY (build_id) REFERENCES builds(id)
);
CREATE INDEX idx_builds_status ON builds(status);
CREATE INDEX idx_builds_worker ON builds(worker_id);
CREATE INDEX idx_builds_access_token ON builds(access_token);
CREATE INDEX idx_logs_build ON build_logs(build_id);
CREATE INDEX idx_diagnostics_worker ON diagnostics(worker_id);
CREATE INDEX idx_diagnostics_run_at ON diagnostics(run_at);
CREATE INDEX idx_cpu_snapshots_build ON cpu_snapshots(build_id);
CREATE INDEX idx_cpu_snapshots_timestamp ON cpu_snapshots(timestamp);`

// table is what must be there for a file to be the legacy controller's; the columns are those that are read.
type table struct{ name, columns string }

const (
	workerColumns   = "id, name, status, capabilities, registered_at, last_seen_at, builds_completed, builds_failed"
	buildColumns    = "id, status, platform, source_path, certs_path, result_path, worker_id, submitted_at, started_at, completed_at, error_message, access_token"
	lineColumns     = "id, build_id, timestamp, level, message"
	reportColumns   = "id, worker_id, status, run_at, duration_ms, auto_fixed, checks"
	snapshotColumns = "id, build_id, timestamp, cpu_percent, memory_mb"
)

func tables() []table {
	return []table{
		{"workers", workerColumns}, {"builds", buildColumns}, {"build_logs", lineColumns}, {"diagnostics", reportColumns},
		{"cpu_snapshots", snapshotColumns},
	}
}
