// Package ticket makes and checks the secrets that let their holder move one object's bytes. A
// ticket is signed and contains everything, so any replica with the key can serve it and nothing is
// stored.
package ticket
