//go:build unix

package shadow

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyAsked lets SIGUSR1 ask for the summary.
func notifyAsked(asked chan<- os.Signal) (stop func()) {
	signal.Notify(asked, syscall.SIGUSR1)
	return func() { signal.Stop(asked) }
}
