// Command quorate runs and uses Quorate: a gap-free, ordered, durable message log per chat, and the edges that deliver it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/quorate/quorate/sysmon"
)

// Exit codes. Only this command knows them.
const (
	exitOK    = 0
	exitError = 1 // it was tried and did not work
	exitUsage = 2 // it was asked for wrongly; nothing was tried
)

// errUsage marks an error in what was asked for: a flag, an argument, a configuration key or its value.
var errUsage = errors.New("usage")

func main() {
	_ = sysmon.Calm() // without it the process takes more of the machine
	// The first signal asks for an orderly end; a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run carries out one command line and gives its exit code. environ is as os.Environ gives it.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	root := newRoot(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var status *exitStatus
	if errors.As(err, &status) && status.err == nil {
		return status.code
	}
	fmt.Fprintf(stderr, "quorate: %s\n", oneLine(err))
	if status != nil {
		return status.code
	}
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitError
}

// oneLine is an error's text on one line, without the mark of usage errors.
func oneLine(err error) string {
	text := strings.TrimSuffix(strings.TrimSpace(err.Error()), ": "+errUsage.Error())
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// usagef makes a usage error.
func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errUsage)
}
