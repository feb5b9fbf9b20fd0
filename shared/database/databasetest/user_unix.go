package databasetest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// PostgreSQL refuses to run as root, so root's tests run it as another user.
func serverUser() (uid, gid uint32, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		id, err1 := strconv.ParseUint(u.Uid, 10, 32)
		group, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return uint32(id), uint32(group), true
		}
	}
	return 0, 0, false
}

func asServerUser(cmd *exec.Cmd) {
	// A session of its own, so that a Ctrl-C meant for the tests does not reach the server before they have ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if uid, gid, ok := serverUser(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
}

func own(dir string) error {
	if uid, gid, ok := serverUser(); ok {
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return fmt.Errorf("give %s to PostgreSQL's user: %w", dir, err)
		}
	}
	return nil
}
