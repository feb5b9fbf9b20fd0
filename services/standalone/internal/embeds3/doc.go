// Package embeds3 runs the S3 endpoint of a standalone installation inside the
// process: a versitygw gateway over plain files, on loopback.
//
// Three properties of the gateway reach the whole process:
//
//   - It changes the working directory to its root and keeps every path
//     relative to that. Whoever starts it makes all other paths absolute first,
//     gives child processes a directory of their own, and never calls os.Chdir.
//   - Only one can run at a time; a second Start answers ErrRunning.
//   - It does not sync. A caller that promises durability calls Server.Sync
//     after each put; objects.Config.Sync is the place for it.
//
// Layout under Config.Dir: objects/<bucket>/<key> are the objects as plain
// files, attributes/ their metadata where the file system has no extended
// attributes. The two are not interchangeable: a directory keeps the way it
// was first used with.
//
// A process killed during a put leaves the previous object intact and nothing
// visible; a multipart upload's parts stay until objects.Store.AbortStale.
package embeds3
