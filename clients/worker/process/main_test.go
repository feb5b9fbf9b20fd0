//go:build linux || darwin

package process_test

import (
	"os/signal"
	"syscall"
	"time"
)

// raceSlack: these tests run beside many others, under the race detector.
const raceSlack = 2 * time.Second

func ignoreTerm() { signal.Ignore(syscall.SIGTERM) }
