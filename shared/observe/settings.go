package observe

import (
	"errors"
	"io"
	"log/slog"
)

// LogSettings are the settings of a program's log, as package settings reads them.
type LogSettings struct {
	Format string `env:"FREEAGENT_LOG_FORMAT" help:"format of log lines: json or text"`
	Level  string `env:"FREEAGENT_LOG_LEVEL" help:"lowest level of log lines: debug, info, warn or error"`
}

// Check names every fault.
func (s LogSettings) Check() error {
	_, err := s.Logger(io.Discard)
	return err
}

// Logger returns a log that writes to w.
func (s LogSettings) Logger(w io.Writer) (*slog.Logger, error) {
	return NewLogger(w, s.Format, s.Level)
}

// Settings are those of a program's log and profiles.
type Settings struct {
	LogSettings
	Debug string `env:"FREEAGENT_DEBUG_LISTEN" help:"loopback address of Go's profiles (pprof), such as 127.0.0.1:6060; none if empty"`
}

// Check names every fault.
func (s Settings) Check() error {
	err := s.LogSettings.Check()
	if s.Debug != "" {
		err = errors.Join(err, CheckProfiles(s.Debug))
	}
	return err
}
