// Package v1 serves the deployed clients: the command line, the Mac worker and the scripts in its
// VMs. Its responses must not change. The package can be removed when nobody uses API v1 any more.
//
// # Workers
//
// A worker of API v1 polls for builds and names no attempt. The gateway writes its heartbeats,
// reports its stages and counts its log lines (package farm).
package v1
