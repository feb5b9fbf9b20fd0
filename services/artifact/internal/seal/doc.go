// Package seal is envelope encryption for small secrets such as signing certificates. Each object
// has a data key of its own (AES-256-GCM), which is stored beside it wrapped by a master key:
// changing the master key means wrapping keys anew, not encrypting content again, and deleting a
// wrapped key deletes its content.
package seal
