// Package artifact is the service that owns stored bytes: sources, certs, results and the logs of
// builds that have ended. No other service writes objects (place, size, SHA-256, expiry, encryption
// key) or has the object store's credentials. It also owns the variables of projects.
//
// # Overview
//
// Other services ask it on the bus for a Grant (fa.artifact.upload, .download; .grant.<worker> for
// the holder of a lease) and move the bytes over HTTP with it. A Grant's ticket is signed and needs
// no lookup, so any replica serves any ticket. The rooms are:
//
//	transfer   bytes over HTTP            logs      archives of build logs
//	grant      tickets                    janitor   expiry
//	catalog    rows and bytes of objects  legacy    import of the legacy controller
//	store      SQL                        seal      encryption of certs and variables
//	variables  variables of projects
//
// # States of an object
//
//	         upload              PUT                keep
//	ask ----------------> staged -------> stored ---------> kept
//	                        |               |                 |
//	                        +--- expired ---+---- discard ----+----> gone
//
// What is not kept expires (package janitor). An upload that breaks, stalls, is too large, is no
// archive or is not what was declared leaves neither object nor row. A process killed in an upload
// leaves a row, which expires and takes every key with its prefix along, and an incomplete S3
// upload, which the janitor aborts.
//
// # When a dependency fails
//
// Without the bus, running transfers continue and nothing new is granted. Without the scheduler,
// workers get no grants and the janitor deletes nothing. Without SQL or S3, requests answer
// "unavailable" and nothing is lost.
package artifact
