// Package session is what every verb shares: the streams, where the server is, and the exit codes.
package session

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/paths"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// IO is the world of a command.
type IO struct {
	Out, Err io.Writer
	// OutTTY and ErrTTY say that a person looks at them.
	OutTTY, ErrTTY bool
	Getenv         func(string) string
	Now            func() time.Time
}

// Exit codes of the command.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitBuildFailed = 3
	ExitCancelled   = 4
	ExitInterrupted = 130
)

// ExitError ends the command with a code of its own. A nil Err prints nothing: what there is to say was said.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// Usage is a mistake in how the command was called.
func Usage(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// Flags say where the server is and with which key.
type Flags struct {
	Server, KeyFile string
}

// DefaultServer is a standalone on this machine.
const DefaultServer = "http://localhost:3000"

// Add defines the flags that every verb has.
func (f *Flags) Add(flags *pflag.FlagSet) {
	flags.StringVar(&f.Server, "server", "", "URL of the server (FREEAGENT_URL; default "+DefaultServer+")")
	flags.StringVar(&f.KeyFile, "key-file", "", "file with the API key (FREEAGENT_API_KEY_FILE; FREEAGENT_API_KEY holds the key itself)")
}

// Client connects as the flags, else the environment, say. On the server's own machine nothing needs to be said.
func (f *Flags) Client(streams IO) (*api.Client, error) {
	server := f.Server
	if server == "" {
		server = streams.Getenv("FREEAGENT_URL")
	}
	if server == "" {
		server = DefaultServer
	}
	key, err := f.key(streams, server)
	if err != nil {
		return nil, err
	}
	transport, err := tlsfiles.HTTP(streams.Getenv("FREEAGENT_CA_FILE"))
	if err != nil {
		return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("FREEAGENT_CA_FILE: %w", err)}
	}
	c, err := api.New(api.Config{BaseURL: server, Key: key, Transport: transport})
	if err != nil {
		return nil, &ExitError{Code: ExitUsage, Err: err}
	}
	return c, nil
}

// errNoKey names every way to give a key.
var errNoKey = errors.New("no API key. Set FREEAGENT_API_KEY, or name a file with --key-file or FREEAGENT_API_KEY_FILE " +
	"(\"freeagent up\" prints where it keeps the key)")

func (f *Flags) key(streams IO, server string) (string, error) {
	file := f.KeyFile
	if file == "" {
		if key := streams.Getenv("FREEAGENT_API_KEY"); key != "" {
			return key, nil
		}
		file = streams.Getenv("FREEAGENT_API_KEY_FILE")
	}
	if file != "" {
		return readKey(streams, file)
	}
	if !local(server) {
		return "", errNoKey
	}
	dir, err := paths.DataDir(streams.Getenv)
	if err != nil {
		return "", errNoKey
	}
	key, err := readKey(streams, paths.AdminKeyFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return "", errNoKey
	}
	return key, err
}

func readKey(streams IO, file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(streams.Err, "warning: other users can read %s. Make it private: chmod 600 %s\n", file, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("key file: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if key == "" {
		return "", fmt.Errorf("key file %s is empty", file)
	}
	return key, nil
}

// local says that the server is on this machine.
func local(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
