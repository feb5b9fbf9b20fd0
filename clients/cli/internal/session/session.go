// Package session has what all commands share: streams, the connection to the server, and exit
// codes.
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

// IO is the environment of a command.
type IO struct {
	// In is for answers to questions, which are asked only if InTTY and ErrTTY are set.
	In       io.Reader
	Out, Err io.Writer
	// InTTY, OutTTY and ErrTTY mean that the stream is a terminal.
	InTTY, OutTTY, ErrTTY bool
	Getenv                func(string) string
	Now                   func() time.Time
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

// ExitError ends the command with an exit code. It prints nothing if Err is nil.
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

// Usage returns an error for a wrong call, with ExitUsage.
func Usage(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// Flags are the connection flags of every command.
type Flags struct {
	Server, KeyFile string
}

// Args returns the flags that were set, with a space before each, for a command that is shown to people.
func (f *Flags) Args() string {
	args := ""
	for _, flag := range [][2]string{{"--server", f.Server}, {"--key-file", f.KeyFile}} {
		if flag[1] != "" {
			args += " " + flag[0] + " " + Quote(flag[1])
		}
	}
	return args
}

// Quote returns a word for a shell, in quotes if it needs them.
func Quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// DefaultServer is the URL of a standalone server on this machine.
const DefaultServer = "http://localhost:3000"

// Add defines the flags.
func (f *Flags) Add(flags *pflag.FlagSet) {
	flags.StringVar(&f.Server, "server", "", "URL of the server (FREEAGENT_URL; default "+DefaultServer+")")
	flags.StringVar(&f.KeyFile, "key-file", "", "file with the API key (FREEAGENT_API_KEY_FILE; FREEAGENT_API_KEY holds the key itself)")
}

// Client returns a client configured by flags, then environment variables. On the server itself it
// needs neither.
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

// local reports whether the server is on this machine.
func local(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
