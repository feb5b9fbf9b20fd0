package pause

import "golang.org/x/sys/unix"

// bootClock continues while the machine sleeps; macOS calls the one that stops CLOCK_UPTIME_RAW.
const bootClock = unix.CLOCK_MONOTONIC
