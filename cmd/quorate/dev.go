package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/delivery"
	"github.com/quorate/quorate/delivery/notify"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	devReady = 30 * time.Second    // for the cluster to serve; 5 s is the aim, and a busy laptop is no error
	quiet    = slog.LevelError + 4 // nothing is logged at this level
	devToken = 30 * 24 * time.Hour // how long the printed tokens are good for
)

func (a *app) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a whole cluster in this process, on loopback", Args: exactly(0),
		Long: "Run a whole cluster in this process, on loopback: a real quorum and a delivery node. Everything that lasts is in --data,\n" +
			"and a second start finds it. Prints what to try, and then ready.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDev(cmd) },
	}
	a.bind(cmd.Flags(), "dev")
	a.bind(cmd.Flags(), "push")
	return cmd
}

// check tells whether a cluster could start like this.
func (c *DevConfig) check() error {
	switch {
	case c.Data == "":
		return usagef("--data is empty: name a directory")
	case c.Nodes != 1 && c.Nodes != 3 && c.Nodes != 5:
		return usagef("--nodes must be 1, 3 or 5, not %d", c.Nodes)
	case c.Groups < 1 || c.Groups > maxGroups:
		return usagef("--groups must be 1 to %d, not %d", maxGroups, c.Groups)
	}
	if err := checkLoopback("--addr", c.Addr); err != nil {
		return err
	}
	if c.OpsAddr != "" {
		if err := checkLoopback("--ops-addr", c.OpsAddr); err != nil {
			return err
		}
	}
	if err := checkLoopback("--resp-addr", c.RESPAddr); err != nil {
		return err
	}
	if _, err := nthAddr(c.RESPAddr, c.Nodes-1); err != nil {
		return usagef("--resp-addr: %w", err)
	}
	return nil
}

func (a *app) runDev(cmd *cobra.Command) error {
	c := &a.config.Dev
	if err := c.check(); err != nil {
		return err
	}
	state, unlock, err := openDevData(c)
	if err != nil {
		return err
	}
	secret, err := ensureSecret(filepath.Join(c.Data, secretFile))
	if err != nil {
		return errors.Join(err, unlock())
	}
	// Nodes that start or end together have elections, or lose one another, for a moment. That is no news.
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	defer context.AfterFunc(cmd.Context(), func() { level.Set(quiet) })()
	d, err := startDev(c, &a.config.Push, state, secret, a.logger(cmd.ErrOrStderr(), level))
	d.level = level
	if err == nil {
		err = d.run(cmd.Context(), cmd.OutOrStdout())
	}
	return errors.Join(err, d.close(), unlock())
}

// dev is a running cluster.
type dev struct {
	config  *DevConfig
	secret  []byte
	nodes   []*sequencer.Node
	edge    *delivery.Server
	pushing *pushing
	ops     *opsServer
	level   *slog.LevelVar // of the log, where none is set
}

// startDev opens all parts. On an error what is open already is in the dev that it returns, for close.
func startDev(c *DevConfig, push *PushConfig, state devState, secret []byte, logger *slog.Logger) (*dev, error) {
	d := &dev{config: c, secret: secret}
	var peers []sequencer.Peer
	for _, n := range state.Nodes {
		peers = append(peers, sequencer.Peer{ID: wire.NodeID(n.ID), RaftAddr: n.RaftAddr})
	}
	store, err := c.openArchive()
	if err != nil {
		return d, err
	}
	var seeds []string
	for i, n := range state.Nodes {
		resp, err := nthAddr(c.RESPAddr, i)
		if err != nil {
			return d, err
		}
		node, err := sequencer.Open(sequencer.Config{
			NodeID: wire.NodeID(n.ID), Dir: filepath.Join(c.Data, n.ID), RaftAddr: n.RaftAddr, RESPAddr: resp,
			OpsAddr: c.OpsAddr, Region: "local", Version: buildVersion(), Groups: c.Groups, Bootstrap: peers,
			DrainWait: time.Millisecond, // all nodes end together: there is nobody to hand over to
			Archive:   store, ArchiveAfter: c.ArchiveAfter, ArchiveEvery: c.ArchiveEvery, FeedRetention: c.FeedRetention,
			Logger: logger,
		})
		if err != nil {
			return d, err
		}
		d.nodes = append(d.nodes, node)
		seeds = append(seeds, node.RESPAddr())
	}
	if d.pushing, err = push.open(notify.Config{Sequencers: seeds, Logger: logger.With("node", "edge")}, true); err != nil {
		return d, err
	}
	edge, err := delivery.Open(delivery.Config{
		Addr: c.Addr, Sequencers: seeds, Region: "local", HubAddr: "127.0.0.1:0", NoAuth: c.NoAuth, Archive: store, JWTSecret: secret, Logger: logger.With("node", "edge"),
		AdmitDevice: d.pushing.admit(),
		Limits:      delivery.Limits{SendsPerSecond: float64(c.SendsPerSecond), SendBurst: 2 * c.SendsPerSecond},
	})
	if err != nil {
		return d, err
	}
	d.edge = edge
	probes, shown := map[string]probe{"delivery": edgeReadiness(edge.Addr(), false)}, newMetrics()
	shown.edge(edge)
	shown.notifier(d.pushing.notifier)
	for i, node := range d.nodes {
		probes["sequencer "+state.Nodes[i].ID] = readiness(node.Ready)
		shown.node(wire.NodeID(state.Nodes[i].ID), node)
	}
	d.ops, err = openOps(c.OpsAddr, probes, shown, logger)
	return d, err
}

// run waits until all parts serve, prints what to try, and then waits for ctx.
func (d *dev) run(ctx context.Context, w io.Writer) error {
	starting, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	waits := []func(context.Context) error{}
	for _, node := range d.nodes {
		waits = append(waits, node.Ready)
	}
	for _, wait := range append(waits, d.edge.Ready) {
		if err := wait(starting); err != nil {
			if ctx.Err() != nil {
				return nil // it was told to end before it was ready
			}
			return err
		}
	}
	text, err := d.welcome()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	d.level.Set(slog.LevelWarn)
	<-ctx.Done()
	return nil
}

// close ends the parts in the reverse of their order: nobody may be left that asks a part which has ended.
func (d *dev) close() error {
	var errs []error
	if d.ops != nil {
		errs = append(errs, d.ops.Close())
	}
	if d.edge != nil {
		errs = append(errs, closeEdge(d.edge))
	}
	errs = append(errs, d.pushing.close())
	closed := make(chan error)
	for _, node := range d.nodes { // together: each of them waits for what it has under way
		go func() { closed <- node.Close() }()
	}
	for range d.nodes {
		errs = append(errs, <-closed)
	}
	return errors.Join(errs...)
}

// welcome is what a newcomer reads: where everything is, what to paste, and that it is ready.
func (d *dev) welcome() (string, error) {
	var resp []string
	for _, node := range d.nodes {
		resp = append(resp, node.RESPAddr())
	}
	var b strings.Builder
	url := "http://" + d.edge.Addr()
	line := func(name, value string) { fmt.Fprintf(&b, "%-12s %s\n", name, value) }
	fmt.Fprintf(&b, "Quorate %s: %d nodes, %d groups, data in %s\n\n", buildVersion(), len(d.nodes), d.config.Groups, d.config.Data)
	line("REST", url)
	line("WebSocket", "ws://"+d.edge.Addr()+"/stream")
	line("RESP", strings.Join(resp, " "))
	if d.ops.Addr() != "" {
		line("health", "http://"+d.ops.Addr()+"/readyz")
	}
	alice := ""
	for _, user := range []string{"alice", "bob"} {
		token, err := delivery.SignToken(d.secret, user, devToken)
		if err != nil {
			return "", err
		}
		if user == "alice" {
			alice = token
		}
		line("token "+user, token)
	}
	_, port, err := splitAddr(resp[0])
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\nTry, in another shell:\n\n")
	fmt.Fprintf(&b, "curl -s %s/chats -H 'Authorization: Bearer %s' -d '{\"type\":\"direct\",\"members\":[\"bob\"]}'\n", url, alice)
	fmt.Fprintf(&b, "redis-cli -c -p %d USER.CHATS alice\n\nready\n", port)
	return b.String(), nil
}
