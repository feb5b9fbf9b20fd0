package labels

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

const (
	// wait bounds the questions to all tools together.
	wait = 20 * time.Second
	// maxAnswer is how much of an answer is looked at.
	maxAnswer = 4 << 10
)

// tool is a program that says its version.
type tool struct {
	label   string
	command []string
}

// tools are those whose versions a build may depend on.
func tools() []tool {
	all := []tool{
		{"node", []string{"node", "--version"}},
		{"npm", []string{"npm", "--version"}},
		{"yarn", []string{"yarn", "--version"}},
		{"pnpm", []string{"pnpm", "--version"}},
		{"bun", []string{"bun", "--version"}},
		{"java", []string{"java", "-version"}},
		{"ruby", []string{"ruby", "--version"}},
	}
	if runtime.GOOS == "darwin" {
		all = append(all, tool{"xcode", []string{"xcodebuild", "-version"}}, tool{"macos", []string{"sw_vers", "-productVersion"}},
			tool{"cocoapods", []string{"pod", "--version"}})
	}
	return all
}

// System returns the labels that need no question: os (linux or macos), arch (arm64 or amd64), and repack, which says that this worker knows
// builds that are repacked.
func System() build.Labels {
	name := runtime.GOOS
	if name == "darwin" {
		name = "macos"
	}
	return build.Labels{"os": name, "arch": runtime.GOARCH, "repack": "1"}
}

// Detect returns the labels of the tools on the machine's PATH. A tool that is missing, or that does not answer in time, has none.
func Detect(ctx context.Context) build.Labels {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	found := System()
	for _, t := range tools() {
		asked.Go(func() {
			version := versionOf(ctx, t.command)
			mu.Lock()
			defer mu.Unlock()
			if build.ValidLabel(t.label, version) {
				found[t.label] = version
			}
		})
	}
	asked.Wait()
	return found
}

// versionRule finds the version in `v22.11.0`, `openjdk version "17.0.9"` and `Xcode 26.1`.
var versionRule = regexp.MustCompile(`\d+(\.\d+)+|^v?\d+$`)

func versionOf(ctx context.Context, command []string) string {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return ""
	}
	cmd := exec.CommandContext(ctx, program, command[1:]...)
	cmd.Dir = os.TempDir() // no package.json that names another version
	cmd.Env = append(os.Environ(), "COREPACK_ENABLE_NETWORK=0", "COREPACK_ENABLE_DOWNLOAD_PROMPT=0")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput() // java answers on standard error
	if err != nil {
		return ""
	}
	return versionRule.FindString(string(out[:min(len(out), maxAnswer)]))
}
