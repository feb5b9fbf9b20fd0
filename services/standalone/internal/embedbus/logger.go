package embedbus

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// logger passes on what an operator should see of the server's own log.
type logger struct {
	log *slog.Logger
	// failed hears of the errors, which is the only way in which the server tells that it could not
	// store a message.
	failed func(text string)
	// fatal is why the server did not start: a string.
	fatal atomic.Value
}

var _ server.Logger = (*logger)(nil)

func (l *logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf leaves out the server's advice against passwords in its configuration file: ours is random and in memory only.
func (l *logger) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords detected") {
		l.log.Warn(fmt.Sprintf(format, v...))
	}
}

// Fatalf is called within the server's Start, which returns afterwards.
func (l *logger) Fatalf(format string, v ...any) { l.fatal.Store(fmt.Sprintf(format, v...)) }

func (l *logger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.failed(text)
	l.log.Error(text)
}
func (l *logger) Debugf(string, ...any) {}
func (l *logger) Tracef(string, ...any) {}
