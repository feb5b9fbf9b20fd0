package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"time"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/tools"
	"github.com/expo-free-agent/freeagent/clients/worker/runtime"
)

var _ runtime.Describer = (*Executor)(nil)

// describeTimeout bounds the question for a tool's version.
const describeTimeout = 20 * time.Second

// Describe implements runtime.Describer.
func (e *Executor) Describe(ctx context.Context) []string {
	all := append(pairs(e.base), goruntime.GOOS+"/"+goruntime.GOARCH, fmt.Sprintf("%+v", e.tools))
	for _, name := range []string{"node", "npm", "yarn", "pnpm", "bun"} {
		t, _ := e.store.Find(ctx, tools.Need{Name: name})
		all = append(all, t.Name+" "+t.Version)
	}
	for _, command := range [][]string{{"java", "-version"}, {"xcodebuild", "-version"}, {"pod", "--version"}} {
		all = append(all, e.answer(ctx, command))
	}
	for _, variable := range []string{"ANDROID_HOME", "ANDROID_SDK_ROOT"} {
		if sdk := e.base[variable]; sdk != "" {
			for _, part := range []string{"build-tools", "platforms", "ndk", "cmake"} {
				found, _ := filepath.Glob(filepath.Join(sdk, part, "*"))
				all = append(all, fmt.Sprint(found))
			}
		}
	}
	return all
}

// answer returns what a program of the builds' PATH says, and its name alone if there is none.
func (e *Executor) answer(ctx context.Context, command []string) string {
	program := ""
	for _, dir := range filepath.SplitList(e.base["PATH"]) {
		name := filepath.Join(dir, command[0])
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(name) {
			program = name
			break
		}
	}
	if program == "" {
		return command[0]
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, command[1:]...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = pairs(e.base), os.TempDir(), time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = append(out, err.Error()...)
	}
	return command[0] + " " + string(bytes.TrimSpace(out))
}
