// Package takeover is `freeagent import`: it reads what the former controller kept and brings it to a server, over the HTTP API, so
// that one command serves a standalone and a distributed installation and each fact is written by its owner.
//
//	for 100 builds at a time:
//	  hash their files, pack their logs --> ask what is here --> upload what is not --> bring the builds
//	then all of it once more, asking only: the server has everything, with the same content
//
// Nothing is kept of how far it came: each run asks for everything, and what is there is left as it is. So it may be killed at any
// moment and run again, and a run after a complete one changes nothing. A file that is missing is a hole in the report, and is
// filled by a later run if the file is there then.
//
// Memory is bounded by a batch: 100 builds' rows, at most 256 KiB of each one's packed log (more goes to a temporary file), a
// few uploads of two pieces each.
package takeover
