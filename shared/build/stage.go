package build

import "time"

// Stage is a part of a build. Workers may report others than these (a project names its own); they get the TTL of DefaultTTL.
type Stage string

// The stages, in the order in which a build may pass them.
const (
	StagePrepare  Stage = "prepare" // download and unpack the source
	StageInstall  Stage = "install" // the package manager
	StagePrebuild Stage = "prebuild"
	StagePods     Stage = "pods"
	StageCompile  Stage = "compile"
	StageArchive  Stage = "archive"
	StageSign     Stage = "sign"
	StageExport   Stage = "export"
	StageUpload   Stage = "upload"
)

// Stages lists the product's own stages in the order in which a build may pass them.
func Stages() []Stage {
	return []Stage{StagePrepare, StageInstall, StagePrebuild, StagePods, StageCompile, StageArchive, StageSign, StageExport, StageUpload}
}

// DefaultTTL is the heartbeat timeout of a stage that has none of its own.
const DefaultTTL = 5 * time.Minute

// DefaultTTLs returns the heartbeat timeout of each stage (signing, CocoaPods and archiving go
// quiet for 3 to 5 minutes on real Macs). Whole seconds, at least 1: the bus knows no finer. The map is the caller's own.
func DefaultTTLs() map[Stage]time.Duration {
	return map[Stage]time.Duration{
		StagePrepare: 2 * time.Minute, StageInstall: 5 * time.Minute, StagePrebuild: 3 * time.Minute,
		StagePods: 10 * time.Minute, StageCompile: 5 * time.Minute, StageArchive: 10 * time.Minute,
		StageSign: 10 * time.Minute, StageExport: 5 * time.Minute, StageUpload: 5 * time.Minute,
	}
}

// TTL looks a stage up in ttls and falls back to DefaultTTL.
func (s Stage) TTL(ttls map[Stage]time.Duration) time.Duration {
	if d, ok := ttls[s]; ok && d > 0 {
		return d
	}
	return DefaultTTL
}
