package pause

import "golang.org/x/sys/unix"

// bootClock continues while the machine sleeps.
const bootClock = unix.CLOCK_BOOTTIME
