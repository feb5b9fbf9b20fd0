//go:build !linux

package database

import "syscall"

// boundUnanswered: the system's own limit on retransmissions holds.
func boundUnanswered(string, string, syscall.RawConn) error { return nil }
