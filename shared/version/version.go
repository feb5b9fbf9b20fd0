// Package version tells which build of the product this is.
package version

// Version is set by the linker (see the Makefile); "dev" otherwise.
var Version = "dev" //nolint:gochecknoglobals // the linker can only set a package variable
