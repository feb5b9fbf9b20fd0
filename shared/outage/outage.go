// Package outage tells something that is away for a while (a database that restarts, a network that is cut) from a fault of
// ours. Another try may succeed later, and messages to users say so.
package outage

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// MsgDiskFull is the message to users if IsDiskFull.
const MsgDiskFull = "The server's disk is full. Free space on it, or ask its operator to, then try again"

// IsUnavailable reports whether err is that of a far side which does not answer now. It must not be asked about errors of reading what a
// client sends: those look the same.
func IsUnavailable(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	if errors.As(err, &op) || errors.As(err, &name) {
		return true
	}
	for _, e := range []error{io.ErrUnexpectedEOF, driver.ErrBadConn, net.ErrClosed, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	// A database file on a disk that is full or read-only (package database).
	var file interface{ Unavailable() bool }
	if errors.As(err, &file) && file.Unavailable() {
		return true
	}
	// The PostgreSQL driver's word for a connection that was gone before anything was sent.
	var unsent interface{ SafeToRetry() bool }
	if errors.As(err, &unsent) && unsent.SafeToRetry() {
		return true
	}
	var answer interface{ SQLState() string }
	return errors.As(err, &answer) && away(answer.SQLState())
}

// IsDiskFull reports whether err is that of a database whose disk is full: SQLite's on the service's own machine (package
// database), or PostgreSQL's (53100). Only an operator can help, so users are told the cause.
func IsDiskFull(err error) bool {
	var file interface{ DiskFull() bool }
	if errors.As(err, &file) && file.DiskFull() {
		return true
	}
	var answer interface{ SQLState() string }
	return errors.As(err, &answer) && answer.SQLState() == "53100"
}

// away knows PostgreSQL's words for it: connections that broke (class 08), no more of them or of memory or of disk (53), a
// server that is told to stop, has crashed or is starting (57P), and a standby that took over only just (25006: read-only).
func away(state string) bool {
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "57P") || state == "25006"
}
