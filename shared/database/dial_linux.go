package database

import (
	"errors"
	"fmt"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), in milliseconds: what was sent and not acknowledged for so long ends the
// connection. Keepalive does not see to that: it begins only when nothing is under way.
const tcpUserTimeout = 0x12

func boundUnanswered(network, _ string, c syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" && network != "tcp" {
		return nil
	}
	var set error
	err := c.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(vanished.Milliseconds())) // a descriptor
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("bound unanswered bytes: %w", err)
	}
	return nil
}
