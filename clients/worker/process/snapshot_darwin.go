package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// snapshot asks the kernel for its process table. It shows no session, so sessions are known by their groups here.
func snapshot(mark string) ([]proc, map[int]*os.Process, error) {
	table, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, nil, err
	}
	needle := []byte(Marker + "=" + mark)
	all := make([]proc, 0, len(table))
	handles := map[int]*os.Process{}
	for _, k := range table {
		pid := int(k.Proc.P_pid)
		handle, err := os.FindProcess(pid)
		if err != nil || k.Proc.P_stat == zombie {
			continue
		}
		// Arguments and environment of a process of ours, entries ended by NUL; refused for other users'.
		args, _ := unix.SysctlRaw("kern.procargs2", pid)
		all = append(all, proc{
			pid: pid, parent: int(k.Eproc.Ppid), group: int(k.Eproc.Pgid), session: int(k.Eproc.Pgid),
			marked: hasVariable(args, needle),
		})
		handles[pid] = handle
	}
	return all, handles, nil
}
