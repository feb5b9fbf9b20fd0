//go:build unix && !linux

package cluster

import (
	"os/exec"
	"syscall"
)

func (s *spawner) loop() {
	defer close(s.done)
	for job := range s.jobs {
		job()
	}
}

// ownGroup has a process be the head of its group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
