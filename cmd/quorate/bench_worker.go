package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench/fleet"
	"github.com/quorate/quorate/bench/measure"
	"github.com/quorate/quorate/bench/scenario"
)

func (a *app) benchWorkerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "Carry out parts of runs for a coordinator, until it is ended", Args: exactly(0),
		Long: "Carry out parts of runs for a coordinator (quorate bench SCENARIO --workers …), until it is ended. Both must be given the\n" +
			"same --secret-file; with --no-auth a worker listens on a loopback address only.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWorker(cmd) },
	}
	a.bind(cmd.Flags(), "worker")
	return cmd
}

// workerHeader bounds how long the head of a request may take.
const workerHeader = 10 * time.Second

func (a *app) runWorker(cmd *cobra.Command) error {
	c := &a.config.Worker
	load := LoadConfig{NoAuth: c.NoAuth, SecretFile: c.SecretFile, Username: c.Username, PasswordFile: c.PasswordFile}
	if c.NoAuth {
		if err := checkLoopback("--listen", c.Listen); err != nil {
			return err
		}
	}
	access, err := load.access()
	if err != nil {
		return err
	}
	key, err := load.workerKey()
	if err != nil {
		return err
	}
	debug.SetGCPercent(benchGC)
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: fleet.NewWorker(key, access).Handler(), ReadHeaderTimeout: workerHeader}
	defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })() // what is under way is of no use to anybody then
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "worker at http://%s\nready\n", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// workerKey is what a coordinator shows to its workers.
func (c *LoadConfig) workerKey() (string, error) {
	if c.NoAuth {
		return fleet.Key(nil), nil
	}
	secret, err := readSecret(c.SecretFile)
	return fleet.Key(secret), err
}

// runFleet has workers make the run.
func (c *LoadConfig) runFleet(ctx context.Context, s scenario.Settings, access *scenario.Access) (*measure.Result, error) {
	key, err := c.workerKey()
	if err != nil {
		return nil, err
	}
	f := &fleet.Fleet{Workers: c.Workers, Key: key, Progress: access.Progress, Marks: access.Marks}
	return f.Run(ctx, s)
}
