//go:build linux || darwin

package telemetry

import (
	"fmt"
	"syscall"
)

// diskUsed returns how full the disk of a directory is, in percent, as df counts.
func diskUsed(dir string) (float64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("read disk usage of %s: %w", dir, err)
	}
	used := float64(s.Blocks - s.Bfree)
	if all := used + float64(s.Bavail); all > 0 {
		return 100 * used / all, nil
	}
	return 0, nil
}
