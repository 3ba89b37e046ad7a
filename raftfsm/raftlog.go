package raftfsm

import (
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger hands what raft logs to slog. Only warnings and worse pass: the rest is raft's daily work.
type raftLogger struct {
	hclog.Logger // answers what is not below, silently
	log          *slog.Logger
}

func newRaftLogger(l *slog.Logger) hclog.Logger {
	return raftLogger{Logger: hclog.NewNullLogger(), log: l.With("of", "raft")}
}

func (l raftLogger) Warn(msg string, args ...interface{})  { l.log.Warn(msg, args...) }
func (l raftLogger) Error(msg string, args ...interface{}) { l.log.Error(msg, args...) }

// Log passes a message of any level.
func (l raftLogger) Log(level hclog.Level, msg string, args ...interface{}) {
	switch {
	case level >= hclog.Error:
		l.Error(msg, args...)
	case level == hclog.Warn:
		l.Warn(msg, args...)
	}
}

func (l raftLogger) With(args ...interface{}) hclog.Logger {
	return raftLogger{Logger: l.Logger, log: l.log.With(args...)}
}

func (l raftLogger) Named(name string) hclog.Logger      { return l.With("part", name) }
func (l raftLogger) ResetNamed(name string) hclog.Logger { return l.With("part", name) }

func (l raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}
