package process

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// psWait bounds one call of ps.
const psWait = 5 * time.Second

// usage asks ps: the kernel's own figures need privileges on macOS, which ps has.
func usage(pids []int) (Usage, error) {
	if len(pids) == 0 {
		return Usage{}, nil
	}
	list := make([]string, len(pids))
	for i, pid := range pids {
		list[i] = strconv.Itoa(pid)
	}
	ctx, cancel := context.WithTimeout(context.Background(), psWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/ps", "-o", "pid=,rss=,time=", "-p", strings.Join(list, ","))
	cmd.Env = []string{"LC_ALL=C"} // a point in figures
	out, err := cmd.Output()
	if len(out) == 0 && ctx.Err() == nil {
		return Usage{}, nil // all have ended: ps says 1
	}
	if ctx.Err() != nil {
		return Usage{}, err
	}
	return parsePS(string(out)), nil
}
