// Package embeds3 runs the S3 endpoint of a standalone installation inside the process: a versitygw
// gateway over plain files, on loopback.
//
// # Effects on the process
//
//   - The gateway changes the working directory to its root and keeps every path relative to that.
//     Make all other paths absolute before you start it, give child processes their own directory,
//     and never call os.Chdir.
//   - Only one can run at a time; a second Start returns ErrRunning.
//   - It does not sync. A caller that promises durability calls Server.Sync after each put; use
//     objects.Config.Sync for that.
//
// # Files
//
// Below Config.Dir, objects/<bucket>/<key> are the objects as plain files, and attributes/ has
// their metadata if the file system has no extended attributes. The two are not interchangeable: a
// directory stays as it was first used.
//
// A process killed during a put leaves the previous object intact and nothing visible; a multipart
// upload's parts stay until objects.Store.AbortStale.
package embeds3
