package raftfsm

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/wire"
)

// Timing is how fast a group notices that its leader is gone. Zero fields take their defaults, which were measured on
// two cores: shorter ones elect without need when the CPU is squeezed.
type Timing struct {
	Heartbeat time.Duration // silence of the leader after which a follower stands for election; default 200 ms
	Election  time.Duration // that a candidate waits for votes; default 200 ms
	Lease     time.Duration // without a majority after which a leader steps down; default 150 ms
	Commit    time.Duration // at most, until followers learn of a commit that nothing follows; default 200 ms
}

// Config says how a group runs. Node, Dir and Bootstrap must be set.
type Config struct {
	Node       wire.NodeID
	Generation uint64 // of this replica; 0 stands for 1, the first
	Group      wire.GroupID
	Dir        string
	Cluster    string // id of the cluster: connections between nodes of two clusters are refused
	Bootstrap  []Peer // the first voters, the same list on each of them; looked at only while Dir is empty

	// Seed is a checkpoint that the group begins with, the same on each of the first voters, see Mend; "" begins with nothing. It is
	// looked at only while Dir is empty.
	Seed string

	// WAL is the node's log, which all its groups share; it stays open until after Close. Without one the group has a log
	// of its own. A replica that was made with one kind does not open with the other.
	WAL *wal.Log

	Timing          Timing
	SnapshotEntries uint64        // entries between two snapshots; default 16384
	TrailingBytes   uint64        // of log kept behind a snapshot, for followers that are late; default 64 MiB
	WriteDeadline   time.Duration // for a write of log, term or vote; default 10 s

	MaxSnapshotBytes int64 // of a snapshot that is taken from a leader; default 1 TiB
	VerifyBytes      int64 // of the state's newest tables that Open verifies; default 256 MiB, negative for none
	ScrubBytes       int64 // a second that the scrub reads; default 10 MiB, negative for no scrub
	Store            StoreConfig

	Fatal  func(error) // told once of a storage failure; the default logs it and ends the process
	Full   func() bool // asked before each write of the log: while it is true no entry is taken. nil for never
	Logger *slog.Logger

	lifted gate // of the leader's log; see earlyLog

	// WrapLogStore puts faults between raft and the log; for tests.
	WrapLogStore func(raft.LogStore) raft.LogStore
}

// Exit is the status with which the process ends after a storage failure.
const Exit = 70

const (
	maxAppendEntries = 64  // entries in one message to a follower: each may hold 256 KiB
	logCacheEntries  = 128 // newest entries kept in memory, for followers: each may hold 256 KiB
	// minTrailingLogs is how many entries are kept behind a snapshot, however large they are. It must be more than a leader can have under way:
	// a follower whose log ends exactly where a snapshot does, with an entry of another term, cannot take that snapshot. Raft goes on to
	// compare the term of the entry that the snapshot replaced.
	minTrailingLogs  = 64
	maxTrailingLogs  = 10_240           // and however small
	transportTimeout = 10 * time.Second // for one message to a follower
	transportPool    = 3                // connections to each of the others that are kept
	shutdownWait     = 10 * time.Second // for raft to end
)

func (c Config) withDefaults() Config {
	orDefault(&c.Timing.Heartbeat, 200*time.Millisecond)
	orDefault(&c.Timing.Election, 200*time.Millisecond)
	orDefault(&c.Timing.Lease, 150*time.Millisecond)
	orDefault(&c.Timing.Commit, 200*time.Millisecond)
	orDefault(&c.SnapshotEntries, 16_384)
	orDefault(&c.TrailingBytes, 64<<20)
	orDefault(&c.WriteDeadline, 10*time.Second)
	orDefault(&c.MaxSnapshotBytes, 1<<40)
	orDefault(&c.VerifyBytes, 256<<20)
	orDefault(&c.ScrubBytes, 10<<20)
	if c.Full == nil {
		c.Full = func() bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Fatal == nil {
		c.Fatal = EndProcess(c.Logger)
	}
	return c
}

// EndProcess gives the usual Config.Fatal: it logs the error and ends the process with status Exit.
func EndProcess(log *slog.Logger) func(error) {
	return func(err error) {
		log.Error("FATAL: the process ends", "err", err)
		os.Exit(Exit)
	}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// self names this replica; it has no address.
func (c Config) self() Peer { return Peer{ID: c.Node, Generation: c.Generation} }

func (c Config) check() error {
	if c.Node == "" || c.Dir == "" {
		return fmt.Errorf("group %d: Node and Dir must be set", c.Group)
	}
	if c.Timing.Lease > c.Timing.Heartbeat {
		return fmt.Errorf("group %d: the lease (%s) must not outlast the heartbeat timeout (%s)", c.Group, c.Timing.Lease,
			c.Timing.Heartbeat)
	}
	return nil
}

// raftConfig sets every option of raft. DESIGN.md gives the reason for each.
func (c Config) raftConfig() *raft.Config {
	return &raft.Config{
		ProtocolVersion:          raft.ProtocolVersionMax,
		LocalID:                  c.self().serverID(),
		HeartbeatTimeout:         c.Timing.Heartbeat,
		ElectionTimeout:          c.Timing.Election,
		LeaderLeaseTimeout:       c.Timing.Lease,
		CommitTimeout:            c.Timing.Commit,
		MaxAppendEntries:         maxAppendEntries,
		BatchApplyCh:             false,
		ShutdownOnRemove:         false,
		TrailingLogs:             maxTrailingLogs,
		SnapshotInterval:         10 * time.Second,
		SnapshotThreshold:        c.SnapshotEntries,
		NoSnapshotRestoreOnStart: true,
		PreVoteDisabled:          false,
		NoLegacyTelemetry:        true,
		LogLevel:                 "WARN",
		Logger:                   newRaftLogger(c.Logger),
	}
}
