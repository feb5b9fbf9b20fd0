package fingerprint

import (
	"bytes"
	"context"
	_ "embed" // the script
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Timeout bounds the computation: it reads the app's native files, and runs plugins of its config.
const Timeout = 2 * time.Minute

var (
	// ErrMissing means that the app has no @expo/fingerprint: its packages are not installed, or it does not use Expo.
	ErrMissing = errors.New("the app's node_modules have no @expo/fingerprint")
	// ErrNoNode means that Node.js was not found.
	ErrNoNode = errors.New("node was not found on the PATH")
)

//go:embed compute.js
var script string

// Command returns a shell command that prints the fingerprint of the app in the working directory, for Parse.
func Command(p build.Platform) string {
	return "node -e '" + strings.ReplaceAll(script, "'", `'\''`) + "' " + string(p)
}

const mark = "freeagent-fingerprint:"

// hashRule is that of a hash in hexadecimal: SHA-1 by default, others by the app's configuration.
var hashRule = regexp.MustCompile(`^[0-9a-f]{32,128}$`)

// Parse reads the fingerprint from the output of Command. It returns ErrMissing if the app has no @expo/fingerprint.
func Parse(output []byte) (string, error) {
	at := bytes.LastIndex(output, []byte(mark))
	if at < 0 {
		return "", errors.New("@expo/fingerprint printed no hash")
	}
	line, _, _ := bytes.Cut(output[at+len(mark):], []byte("\n"))
	var answer struct {
		Hash, Error string
		Missing     bool
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return "", fmt.Errorf("read what @expo/fingerprint printed: %w", err)
	}
	switch {
	case answer.Missing:
		return "", ErrMissing
	case answer.Error != "":
		return "", fmt.Errorf("@expo/fingerprint: %s", answer.Error)
	case !hashRule.MatchString(answer.Hash):
		return "", fmt.Errorf("@expo/fingerprint printed %.80q, which is no hash", answer.Hash)
	}
	return answer.Hash, nil
}

// Of returns the fingerprint of the app in a directory, with env over the environment of this process. It returns ErrNoNode without Node.js,
// ErrMissing if the app's packages are not installed, and an error after Timeout.
func Of(ctx context.Context, app string, p build.Platform, env map[string]string) (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", ErrNoNode
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "-e", script, string(p))
	cmd.Dir, cmd.Env, cmd.WaitDelay = app, os.Environ(), time.Second
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("@expo/fingerprint did not end within %s: %w", Timeout, context.Cause(ctx))
	}
	if err != nil {
		return "", fmt.Errorf("@expo/fingerprint: %w: %s", err, lastLine(stderr.Bytes()))
	}
	return Parse(stdout.Bytes())
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	const most = 300
	last := lines[len(lines)-1]
	return last[:min(len(last), most)]
}
