// Package ignore matches paths against ignore files, in two dialects.
//
// # Git's
//
// List holds the patterns of one .gitignore as gitignore(5) defines them, and a Git matcher the
// lists of a directory and those above it. The tests hold it against git itself. It serves
// directories that are in no repository; inside of one, git is asked.
//
// # That of .easignore
//
// EAS reads .easignore with the npm package "ignore" 5.3.0, which differs from git: it ignores case,
// does not know [!a], and a rule such as "dir/" leaves an empty directory. NPM follows that package
// rule by rule, so that an .easignore excludes here what it excludes there.
package ignore
