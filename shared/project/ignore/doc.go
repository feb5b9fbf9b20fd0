// Package ignore matches paths against ignore files, in two dialects.
//
// # Git's
//
// List holds the patterns of one .gitignore as gitignore(5) defines them, and a Git matcher the
// lists of a directory and those above it. The tests hold it against git itself. It serves
// directories that are in no repository; inside of one, git is asked.
//
// The matcher is ours, since the libraries differ from git. Of the 94 rule files that the tests list,
// each against 60 names, go-git v5.19.3 reads 27 in another way and sabhiram/go-gitignore 29; of 1,000
// random ones, 127 and 162. The matcher here reads all as git does.
//
// # That of .easignore
//
// EAS reads .easignore with the npm package "ignore" 5.3.0, which differs from git: it ignores case,
// does not know [!a], and a rule such as "dir/" leaves an empty directory. NPM follows that package
// rule by rule, so that an .easignore excludes here what it excludes there.
package ignore
