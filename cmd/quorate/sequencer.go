package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

func (a *app) sequencerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "sequencer", Short: "Run a node of a quorum", Args: exactly(0),
		Long: "Run a node of a quorum. The first nodes all start with the same --bootstrap list, which holds each node's name and\n" +
			"--raft-addr. Further ones start with --join and a token of quorate cluster token. On later starts neither is looked at.\n" +
			"Prints ready when it serves.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runSequencer(cmd) },
	}
	a.bind(cmd.Flags(), "sequencer")
	return cmd
}

func (a *app) runSequencer(cmd *cobra.Command) error {
	c := &a.config.Sequencer
	if err := c.check(); err != nil {
		return err
	}
	logger := a.logger(cmd.ErrOrStderr(), slog.LevelInfo)
	config, err := c.nodeConfig(logger)
	if err != nil {
		return err
	}
	node, err := sequencer.Open(config)
	if err != nil {
		return err
	}
	// The operations port opens before the node serves: that it does not serve yet is what one asks it.
	shown := newMetrics()
	shown.node(config.NodeID, node)
	ops, err := openOps(c.OpsAddr, map[string]probe{"sequencer": readiness(node.Ready)}, shown, logger)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	err = serve(cmd, node.Ready, "node "+c.NodeID+" speaks RESP on "+node.RESPAddr(), nil)
	// The node drains while its operations port still answers.
	return errors.Join(err, node.Close(), ops.Close())
}

// serve waits until all is ready, says so, and then waits for the end that was asked for, or for outdated, nil for never.
func serve(cmd *cobra.Command, ready func(context.Context) error, what string, outdated <-chan struct{}) error {
	if err := ready(cmd.Context()); err != nil {
		if cmd.Context().Err() != nil {
			return nil // it was told to end before it was ready
		}
		return err
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\nready\n", what); err != nil {
		return err
	}
	select {
	case <-cmd.Context().Done():
	case <-outdated:
	}
	return nil
}

// nodeConfig is the configuration of the node itself.
func (c *SequencerConfig) nodeConfig(logger *slog.Logger) (sequencer.Config, error) {
	peers, err := c.peers()
	if err != nil {
		return sequencer.Config{}, err
	}
	config := sequencer.Config{
		NodeID: wire.NodeID(c.NodeID), Dir: c.Data, RaftAddr: c.RaftAddr, RESPAddr: c.RESPAddr, OpsAddr: c.OpsAddr,
		Region: c.Region, Zone: c.Zone, Version: buildVersion(), Groups: c.Groups, Replicas: c.Replicas, Bootstrap: peers,
		Join: c.Join, JoinToken: c.JoinToken, LogStore: c.LogStore, Logger: logger,
		Timing:          sequencer.Timing{Heartbeat: c.HeartbeatTimeout, Election: c.ElectionTimeout, Lease: c.LeaseTimeout},
		SnapshotEntries: uint64(c.SnapshotEntries), TrailingBytes: uint64(c.TrailingBytes), // check has seen that they fit
	}
	config.ArchiveAfter, config.ArchiveEvery, config.ArchiveObjectBytes = c.ArchiveAfter, c.ArchiveEvery, int64(c.ArchiveObjectBytes)
	config.HotBytes, config.RetainFor = int64(c.HotBytes), c.RetainFor
	config.FeedRetention, config.DedupRetention = c.FeedRetention, c.DedupRetention
	if c.PasswordFile != "" {
		password, err := readSecret(c.PasswordFile)
		if err != nil {
			return config, err
		}
		config.Password = string(password)
	}
	config.UsersFile = c.Users
	if config.Archive, err = openArchive(c.Archive); err != nil {
		return config, err
	}
	if config.Backup, err = openStore("--backup", c.Backup); err != nil {
		return config, err
	}
	config.BackupRate = int64(c.BackupRate)
	config.Keys, err = openKeys(trust.Files{CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey}, logger)
	return config, err
}

// check tells whether a node could start like this, as far as that needs no network and no disk.
func (c *SequencerConfig) check() error {
	if err := wire.CheckID("--node-id", c.NodeID); err != nil {
		return usagef("%s", detail(err))
	}
	if c.Data == "" {
		return usagef("--data is missing: name a directory for this node's data")
	}
	if c.Groups < 1 || c.Groups > maxGroups {
		return usagef("--groups must be 1 to %d, not %d", maxGroups, c.Groups)
	}
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		return usagef("--replicas must be 1, 3 or 5, not %d", c.Replicas)
	}
	if c.LogStore != sequencer.LogWAL && c.LogStore != sequencer.LogBolt {
		return usagef("--log-store must be %s or %s, not %q", sequencer.LogWAL, sequencer.LogBolt, c.LogStore)
	}
	if c.Join != "" && len(c.Bootstrap) > 0 {
		return usagef("--join and --bootstrap exclude each other: a node joins a cluster or is one of the first of a new one")
	}
	if c.Join != "" {
		if err := checkNodeAddr("--join", c.Join, c.TLSCert != ""); err != nil {
			return err
		}
	}
	for _, text := range []string{c.Region, c.Zone} {
		if text != "" {
			if err := wire.CheckID("--region and --zone", text); err != nil {
				return usagef("%s", detail(err))
			}
		}
	}
	for key, addr := range map[string]string{"--raft-addr": c.RaftAddr, "--resp-addr": c.RESPAddr} {
		if err := checkNodeAddr(key, addr, c.TLSCert != ""); err != nil {
			return err
		}
	}
	if c.OpsAddr != "" {
		if err := checkLoopback("--ops-addr", c.OpsAddr); err != nil {
			return err
		}
	}
	if err := c.checkRaft(); err != nil {
		return err
	}
	_, err := c.peers()
	return err
}

// checkRaft looks at what the groups are told of time and of their logs. 0 is the default of each.
func (c *SequencerConfig) checkRaft() error {
	for key, timeout := range map[string]time.Duration{
		"--heartbeat-timeout": c.HeartbeatTimeout, "--election-timeout": c.ElectionTimeout, "--lease-timeout": c.LeaseTimeout,
	} {
		if timeout != 0 && (timeout < minTimeout || timeout > maxTimeout) {
			return usagef("%s must be %s to %s, not %s", key, minTimeout, maxTimeout, timeout)
		}
	}
	if c.SnapshotEntries < 0 || c.TrailingBytes < 0 {
		return usagef("--snapshot-entries and --trailing-bytes must not be negative")
	}
	return nil
}

// Timeouts outside of these are mistakes: below, every hiccup elects; above, nobody notices a dead leader.
const (
	minTimeout = 20 * time.Millisecond
	maxTimeout = time.Minute
)

// maxGroups is far above what one node runs well (a few dozen).
const maxGroups = 1024

// peers reads --bootstrap. An empty list is fine: the node's data knows the nodes.
func (c *SequencerConfig) peers() ([]sequencer.Peer, error) {
	var peers []sequencer.Peer
	mine := false
	seen := map[string]bool{}
	for _, item := range c.Bootstrap {
		id, addr, ok := strings.Cut(item, "=")
		if !ok {
			return nil, usagef("--bootstrap wants NODE=RAFT_ADDR, not %q", item)
		}
		if err := wire.CheckID("node in --bootstrap", id); err != nil {
			return nil, usagef("%s", detail(err))
		}
		if err := checkNodeAddr("address of "+id+" in --bootstrap", addr, c.TLSCert != ""); err != nil {
			return nil, err
		}
		if seen[id] || seen[addr] {
			return nil, usagef("--bootstrap holds %q twice", item)
		}
		seen[id], seen[addr] = true, true
		if id == c.NodeID {
			mine = true
			if addr != c.RaftAddr {
				return nil, usagef("--bootstrap says %s for this node, --raft-addr says %s", item, c.RaftAddr)
			}
		}
		peers = append(peers, sequencer.Peer{ID: wire.NodeID(id), RaftAddr: addr})
	}
	if len(peers) > 0 && !mine {
		return nil, usagef("--bootstrap does not hold this node, %s", c.NodeID)
	}
	return peers, nil
}

// detail is the text of one of wire's errors without its RESP word.
func detail(err error) string {
	_, text, _ := strings.Cut(err.Error(), ": ")
	return text
}
