// Package v1 is the API of the deployed clients: the command line, the Mac worker and the scripts in its VMs. Its words do not change, and the
// folder can be removed once nobody uses it.
//
// # Workers
//
// A worker of API v1 polls for builds and names no attempt. The gateway writes its heartbeats, reports its stages and counts its log
// lines (package farm).
package v1
