// Package secrets creates the secrets of a distributed installation: a directory with a file for
// each, in the form in which the services, the bus and the other engines read them. It keeps
// existing files, so a repeat is harmless and completes a directory of an older version.
package secrets
