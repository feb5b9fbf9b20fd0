package process

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// tick is what /proc counts CPU time in: the kernel gives programs 100 in a second, whatever its own clock.
const tick = 10 * time.Millisecond

// usage reads /proc. Processes that end meanwhile are left out.
func usage(pids []int) (Usage, error) {
	var u Usage
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// After the name: state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime ...
		// The 22nd is rss, in pages.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		for _, f := range fields[11:15] {
			u.CPU += time.Duration(max(0, number(f))) * tick
		}
		u.Memory += int64(max(0, number(fields[21]))) * int64(os.Getpagesize())
		u.Processes++
	}
	return u, nil
}
