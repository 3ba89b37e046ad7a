package main

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench"
)

func (a *app) benchIdleCommand() *cobra.Command {
	idle := &cobra.Command{
		Use: "idle", Short: "Open connections that do nothing, and look what they cost", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchIdle(cmd) },
	}
	a.bind(idle.Flags(), "bench")
	return idle
}

func (a *app) benchIdle(cmd *cobra.Command) error {
	c := &a.config.Bench
	token, err := benchToken(c.NoAuth, c.SecretFile)
	if err != nil {
		return err
	}
	res, err := bench.Idle(cmd.Context(), bench.IdleConfig{
		Target: c.Target, Metrics: c.Metrics, Connections: c.Connections, FirstUser: c.FirstUser, Users: c.Users, Chats: c.Chats, Members: c.Members, Rate: c.Rate, Hold: c.Hold,
		Token: token, Progress: cmd.ErrOrStderr(),
	})
	if err != nil {
		return err
	}
	round := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	if err := a.print(cmd.OutOrStdout(), res, []string{"CONNECTIONS", "FAILED", "CHATS", "SET UP IN", "OPENED IN", "WELCOME P50", "P99", "PINGS", "RSS/CONNECTION"}, [][]string{{
		strconv.Itoa(res.Connections), strconv.Itoa(res.Failed), strconv.Itoa(res.Chats), round(res.Setup), round(res.Open), round(res.WelcomeP50), round(res.WelcomeP99),
		strconv.Itoa(res.Pings), fmt.Sprintf("%.0f B", res.BytesPerConn),
	}}); err != nil {
		return err
	}
	if res.Failed > 0 {
		return fmt.Errorf("%d of %d connections failed, the first: %s", res.Failed, c.Connections, res.Why)
	}
	return nil
}

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
