// Package shell runs builds as processes of this host, as the user that the worker runs as. It keeps builds from stumbling
// over each other and over the worker; it does not keep a hostile build from the machine. Give it a user of its own.
//
// Each attempt has a directory with its project, home and temporary files, removed at its end. The environment is built from
// nothing: see environment.go for what comes in. Package managers share a cache that lives as long as the worker's state.
package shell
