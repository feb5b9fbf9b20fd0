//go:build !unix

package worker

// lockState only makes the directory: there are no builds by commands on this system (see package process), so nothing of
// an earlier run can be swept away under another's feet.
func lockState(dir string) (unlock func(), err error) { return func() {}, makeStateDir(dir) }
