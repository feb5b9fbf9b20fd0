package cluster

import (
	"os/exec"
	"runtime"
	"syscall"
)

func (s *spawner) loop() {
	runtime.LockOSThread()
	defer close(s.done)
	for job := range s.jobs {
		job()
	}
}

// ownGroup has a process be the head of its group, and end with us.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
