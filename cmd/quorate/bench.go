package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bench"
	"github.com/quorate/quorate/delivery"
)

func (a *app) benchCommand() *cobra.Command {
	idle := &cobra.Command{
		Use: "idle", Short: "Open connections that do nothing, and look what they cost", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchIdle(cmd) },
	}
	a.bind(idle.Flags(), "bench")
	fanout := &cobra.Command{
		Use: "fanout", Short: "Send to a group whose members are all online", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchLive(cmd, &a.config.Fanout) },
	}
	a.bind(fanout.Flags(), "fanout")
	live := &cobra.Command{
		Use: "live", Short: "Send to members who are online, at a rate", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.benchLive(cmd, &a.config.Live) },
	}
	a.bind(live.Flags(), "live")
	return parent("bench", "Load a cluster from outside and measure it", idle, fanout, live)
}

// Exit codes of a bench, beside those of every command.
const (
	exitBroken    = 2 // a promise was broken
	exitGenerator = 3 // the bench itself was the limit
)

// benchTokenTime is how long the tokens of a run are good for.
const benchTokenTime = 24 * time.Hour

// benchToken makes what the users of a run show.
func benchToken(noAuth bool, secretFile string) (func(user string) (string, error), error) {
	if noAuth {
		return func(user string) (string, error) { return "user:" + user, nil }, nil
	}
	secret, err := readSecret(secretFile)
	if err != nil {
		return nil, err
	}
	return func(user string) (string, error) { return delivery.SignToken(secret, user, benchTokenTime) }, nil
}

// benchLive runs fanout and live, which differ in their defaults.
func (a *app) benchLive(cmd *cobra.Command, c *LiveConfig) error {
	token, err := benchToken(c.NoAuth, c.SecretFile)
	if err != nil {
		return err
	}
	var pids []int
	for _, text := range c.Servers {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return usagef("--servers: %q is no pid", text)
		}
		pids = append(pids, pid)
	}
	res, err := bench.Live(cmd.Context(), bench.LiveConfig{
		Targets: c.Targets, Chats: c.Chats, Members: c.Members, InFlight: c.InFlight, Rate: float64(c.Rate), Size: c.Size, Warmup: c.Warmup, For: c.For,
		Ack: c.Ack, Servers: pids, Token: token,
	})
	if err != nil {
		return err
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }
	if err := a.print(cmd.OutOrStdout(), res, []string{"SENT", "DELIVERED", "PER SECOND", "P50", "P99", "P99.9", "SERVER CPU EACH", "LATE"}, [][]string{{
		strconv.Itoa(res.Sent), strconv.Itoa(res.Delivered), fmt.Sprintf("%.0f", res.PerSecond), ms(res.Latency.P50), ms(res.Latency.P99),
		ms(res.Latency.P999), res.PerDeliver.String(), strconv.Itoa(res.Late),
	}}); err != nil {
		return err
	}
	for _, fault := range res.Broken {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), fault)
	}
	switch {
	case res.BrokenAll+res.Missing > 0:
		return &exitStatus{code: exitBroken, err: fmt.Errorf("%d promises broken, %d deliveries missing", res.BrokenAll, res.Missing)}
	case res.Limit:
		return &exitStatus{code: exitGenerator, err: errors.New("the bench itself was the limit")}
	}
	return nil
}

func (a *app) benchIdle(cmd *cobra.Command) error {
	c := &a.config.Bench
	token, err := benchToken(c.NoAuth, c.SecretFile)
	if err != nil {
		return err
	}
	res, err := bench.Idle(cmd.Context(), bench.IdleConfig{
		Target: c.Target, Metrics: c.Metrics, Connections: c.Connections, FirstUser: c.FirstUser, Chats: c.Chats, Members: c.Members, Rate: c.Rate, Hold: c.Hold,
		Token: token, Progress: cmd.ErrOrStderr(),
	})
	if err != nil {
		return err
	}
	round := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	if err := a.print(cmd.OutOrStdout(), res, []string{"CONNECTIONS", "FAILED", "OPENED IN", "WELCOME P50", "P99", "PINGS", "RSS/CONNECTION"}, [][]string{{
		strconv.Itoa(res.Connections), strconv.Itoa(res.Failed), round(res.Open), round(res.WelcomeP50), round(res.WelcomeP99),
		strconv.Itoa(res.Pings), fmt.Sprintf("%.0f B", res.BytesPerConn),
	}}); err != nil {
		return err
	}
	if res.Failed > 0 {
		return fmt.Errorf("%d of %d connections failed, the first: %s", res.Failed, c.Connections, res.Why)
	}
	return nil
}
