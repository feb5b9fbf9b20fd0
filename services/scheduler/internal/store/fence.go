//go:build !chaos_broken_fence

package store

// fenced lets the one attempt through that was claimed, in the hands of the worker that claimed it.
func (b Build) fenced(workerID string, attempt int32) bool {
	return b.WorkerID == workerID && b.Attempt == attempt
}
