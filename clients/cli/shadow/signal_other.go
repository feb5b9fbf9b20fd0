//go:build !unix

package shadow

import "os"

// notifySummary does nothing: SIGUSR1 does not exist here.
func notifySummary(chan<- os.Signal) (stop func()) { return func() {} }
