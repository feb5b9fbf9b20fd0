package shell

import "golang.org/x/sys/unix"

// memory returns the bytes of memory that this machine has; 0 if that is not known.
func memory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return info.Totalram * uint64(info.Unit)
}
