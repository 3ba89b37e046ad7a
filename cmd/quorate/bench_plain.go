package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench"
)

func (a *app) benchPlainCommand() *cobra.Command {
	plain := &cobra.Command{
		Use: "plain", Short: "Run a plain WebSocket server with a goroutine for each connection, to compare idle with", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchPlain(cmd) },
	}
	a.bind(plain.Flags(), "plain")
	return plain
}

func (a *app) benchPlain(cmd *cobra.Command) error {
	addr := a.config.Plain.Addr
	if err := checkLoopback("--addr", addr); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	_, _ = fmt.Fprintln(cmd.OutOrStdout(), "ready")
	return bench.Plain(cmd.Context(), ln)
}
