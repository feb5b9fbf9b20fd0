// Package secrets makes the secrets of a distributed installation: a directory with a file for each, in the form in which the
// services, the bus and the other engines read them. What is there already is kept, so that making them again is harmless and
// completes a directory of an older version.
package secrets
