//go:build unix

package shadow

import (
	"os"
	"os/signal"
	"syscall"
)

// notifySummary delivers SIGUSR1, the request for a summary.
func notifySummary(asked chan<- os.Signal) (stop func()) {
	signal.Notify(asked, syscall.SIGUSR1)
	return func() { signal.Stop(asked) }
}
