package raftfsm

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// raftLogger hands what raft logs to slog, one level lower than raft does: an election is no reason to warn anybody, and
// what raft calls an error is mostly a peer that is away. What it says below a warning is dropped.
type raftLogger struct {
	hclog.Logger // answers what is not below, silently
	log          *slog.Logger
}

func newRaftLogger(l *slog.Logger) hclog.Logger {
	return raftLogger{Logger: hclog.NewNullLogger(), log: l.With("of", "raft")}
}

func (l raftLogger) Warn(msg string, args ...interface{}) { l.log.Info(msg, args...) }

func (l raftLogger) Error(msg string, args ...interface{}) {
	level := slog.LevelWarn
	if slices.ContainsFunc(args, endOfConnection) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// endOfConnection tells an error that only says that a connection or the transport was closed.
func endOfConnection(arg interface{}) bool {
	err, ok := arg.(error)
	return ok && (errors.Is(err, net.ErrClosed) || errors.Is(err, raft.ErrTransportShutdown) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET))
}

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
