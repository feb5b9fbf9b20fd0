// Package artifacts finds and packs the files that a build keeps besides its result: those that
// buildArtifactPaths of eas.json or artifacts of freeagent.json name.
//
// # What is never taken
//
// Nothing outside of the source, and nothing behind a link: a link is packed as such, unless it
// points outside. No files whose names say that they hold credentials. Hidden files, node_modules
// and Pods only if the glob names them.
package artifacts
