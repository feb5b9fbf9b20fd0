package database

import (
	"net"
	"time"
)

// A server whose machine or network vanished sends nothing. A caller that waits for its response learns of that within half a minute, not
// after the quarter of an hour that the system would take.
const (
	vanished  = 30 * time.Second
	probeIdle = 15 * time.Second
	probeGap  = 5 * time.Second
	probes    = 3
)

func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeIdle, Interval: probeGap, Count: probes},
		Control:         boundUnanswered,
	}
}
