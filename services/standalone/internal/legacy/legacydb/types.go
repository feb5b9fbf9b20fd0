package legacydb

// Times are milliseconds since the Unix epoch; what may be absent is nil.

// Worker is a row of workers.
type Worker struct {
	ID, Name, Status string
	// Capabilities is JSON.
	Capabilities         string
	RegisteredAt, SeenAt int64
	Completed, Failed    int64
}

// Build is a row of builds. Row is its place in the order of submission.
type Build struct {
	Row                    int64
	ID, Status, Platform   string
	SourcePath             string
	CertsPath, ResultPath  *string
	WorkerID               *string
	SubmittedAt            int64
	StartedAt, CompletedAt *int64
	ErrorMessage           *string
	AccessToken            string
	// NoSource and NoResult say that the file is not written: PutBuild leaves the path of a row that is there.
	NoSource, NoResult bool
}

// Ended says that nothing more happens to it.
func (b Build) Ended() bool { return b.Status == "completed" || b.Status == "failed" }

// Line is a row of build_logs.
type Line struct {
	ID, At         int64
	Level, Message string
}

// Report is a row of diagnostics.
type Report struct {
	Row                  int64
	ID, WorkerID, Status string
	RunAt, DurationMs    int64
	AutoFixed            bool
	Checks               string
}

// Snapshot is a row of cpu_snapshots.
type Snapshot struct {
	ID                   int64
	BuildID              string
	At                   int64
	CPUPercent, MemoryMB float64
}

// Counts are how many rows there are.
type Counts struct {
	Workers, Builds, Lines, Reports, Snapshots int64
	// OrphanLines and OrphanSnapshots are of builds that are not there.
	OrphanLines, OrphanSnapshots int64
}

// CapabilitiesLabel is the label with the capabilities of an imported worker, as the legacy controller has them. It is stored, so its name
// never changes.
const CapabilitiesLabel = "former.capabilities"
