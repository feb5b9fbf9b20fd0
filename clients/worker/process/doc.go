// Package process runs one command of a build and, above all, ends it: the command, what it started, and what that started.
//
// A build may leave its process group and session, ignore SIGTERM and outlive its parent. So each process of a build carries
// an environment variable, Marker, that children inherit without knowing. A tree is every process that carries the marker's
// value, or belongs to the session or group of one that does, or descends from one. What escapes is only what drops its
// environment, its session and its parents all at once; a container or VM is the answer to that, not a process list.
//
// Linux and macOS; elsewhere Run answers ErrUnsupported.
package process
