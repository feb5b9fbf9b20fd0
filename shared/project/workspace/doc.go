// Package workspace finds the workspace that an app belongs to (npm, Yarn, pnpm and Bun keep one lock file for several packages),
// and the package manager that installs it.
package workspace
