// Package source decides what of a project is sent to be built: the root of the archive, the app's
// path below it, and the files.
//
// # Which files
//
// Without an .easignore at the root, what git would send: inside a repository, git itself lists the
// tracked files and the new ones that it does not ignore, also in submodules and in repositories
// below. If git refuses or is not installed, Open returns an error; it never falls back. Outside of
// a repository, package ignore reads the .gitignore files.
//
// With an .easignore at the root, the rules of EAS take the place of git's.
//
// Nothing named .git or node_modules is ever sent. Links that lead out of the root and names that
// the archive cannot hold are left out with a warning.
//
// # Which root
//
// The root that the caller or "root" in freeagent.json names; else that of the workspace which the
// app belongs to; else that of the repository; else the app.
package source
