// Package process runs the commands of a build and ends every process that came of them, on Linux
// and macOS. Elsewhere its functions return ErrUnsupported.
//
// # Which processes belong to a build
//
// A build may leave its process group and session, ignore SIGTERM and outlive its parent. So each
// process of a build carries an environment variable, Marker, which children inherit. The tree of a
// build is every process that carries the marker's value, belongs to the session or group of one
// that does, or descends from one. Only a process that drops its environment, its session and its
// parents at once escapes; against that you need a container or a VM.
package process
