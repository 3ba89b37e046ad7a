package delivery

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/lesismal/nbio/logging"
)

// nbio has one logger per process and by default writes to standard output, which belongs to the command line.
var quietLogs sync.Once

func quietNbio(log *slog.Logger) { logging.SetLogger(nbioLog{log}) }

// nbioLog lets nbio's warnings and errors through to slog.
type nbioLog struct{ log *slog.Logger }

// Debug drops the line.
func (nbioLog) Debug(string, ...any) {}

// Info drops the line: it tells that pollers start and stop.
func (nbioLog) Info(string, ...any) {}

// Warn passes the line on.
func (l nbioLog) Warn(format string, args ...any) {
	l.log.Warn("nbio", "detail", fmt.Sprintf(format, args...))
}

// Error passes the line on.
func (l nbioLog) Error(format string, args ...any) {
	l.log.Error("nbio", "detail", fmt.Sprintf(format, args...))
}
