// Package legacyimport is the command freeagent import: it reads the data of the legacy controller and sends it to a server over the HTTP
// API, so that one command serves a standalone and a distributed installation, and each service writes its own data.
//
//	for 100 builds at a time:
//	  hash their files, pack their logs --> ask what is stored --> upload what is not --> import the builds
//	then all of it once more, with check: the server has everything, with the same content
//
// # Repeats
//
// The command stores no progress: each run asks for everything, and what is stored stays as it is. So it may be killed at any moment and
// run again, and a run after a complete one changes nothing. The report lists missing files; a later run imports them.
//
// # Memory
//
// A batch bounds memory: the rows of 100 builds, at most 256 KiB of each packed log (longer ones go to a temporary file), and a few
// uploads of two pieces each.
package legacyimport
