package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// snapshot reads /proc. Zombies are left out: they are dead and wait for their parent only.
func snapshot(mark string) ([]proc, map[int]*os.Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, nil, err
	}
	needle := []byte(Marker + "=" + mark)
	var all []proc
	handles := map[int]*os.Process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		handle, err := os.FindProcess(pid) // a pidfd
		if err != nil {
			continue
		}
		p, ok := readProc(pid, needle)
		if !ok {
			_ = handle.Release()
			continue
		}
		all = append(all, p)
		handles[pid] = handle
	}
	return all, handles, nil
}

func readProc(pid int, needle []byte) (proc, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return proc{}, false
	}
	// pid (comm) state ppid pgrp session ...; comm may hold spaces and brackets.
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return proc{}, false
	}
	p := proc{pid: pid, parent: number(fields[1]), group: number(fields[2]), session: number(fields[3])}
	// Another user's environment cannot be read: not ours then.
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	p.marked = hasVariable(env, needle)
	return p, true
}

func number(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return -1
	}
	return n
}
