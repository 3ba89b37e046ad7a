package sequencer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// Config says how a node runs. Only NodeID, Dir and the addresses must be set; the rest has defaults.
type Config struct {
	NodeID wire.NodeID
	Dir    string // holds all of the node's data; one process at a time may have it open

	RaftAddr string // host:port that other nodes reach this one at; it must not change as long as the data lives
	RESPAddr string // host:port of the RESP server; port 0 takes a free one
	OpsAddr  string // host:port of the operator's pages, told to the other nodes; nothing here listens on it
	Region   string
	Zone     string // what may fail as one: replicas of a group are kept in different zones where there are enough
	Version  string // of the program, told to the other nodes

	// Keys are the node's certificates; with them every connection between nodes and of clients is TLS with certificates at
	// both ends. AllowNode is asked about the nodes that come; nil takes every node of the cluster's CA that was not given up.
	Keys      *trust.Keys
	AllowNode func(wire.NodeID) bool
	Password  string // of the user default, an operator; all nodes have the same. "" is no such user
	UsersFile string // users for AUTH: see trust.User. "" is none

	// How the node becomes part of a cluster; looked at only while Dir is empty. Bootstrap makes a new one, of Groups groups
	// with Replicas voters each (default 3, and not more than there are nodes). Join is the RESP address of any node of an
	// existing one, which gives out a JoinToken.
	Bootstrap []raftfsm.Peer // the first nodes, the same list on each
	Groups    int            // fixed when the cluster is made; default 8
	Replicas  int
	Join      string
	JoinToken string

	Timing          raftfsm.Timing
	SnapshotEntries uint64        // entries between two snapshots of a group; 0 takes raftfsm's default
	TrailingBytes   uint64        // bytes of log kept behind a snapshot; 0 takes raftfsm's default
	WriteDeadline   time.Duration // for a write of a group's log; 0 takes raftfsm's default

	// LogStore says where the groups keep their Raft logs: LogWAL, the default, or LogBolt. It is fixed when Dir is made.
	LogStore     string
	SegmentBytes int64 // of a segment of LogWAL; 0 takes wal's default

	// MinFree is how many bytes of the file system of Dir must be free for this node to store anything, see space. The
	// default is 512 MiB, or a tenth of the file system where that is less.
	MinFree  int64
	DiskFree func(dir string) (free, total int64, err error) // the default asks the system; for tests

	FeedRetention  time.Duration // how long an event can be read from the feed
	DedupRetention time.Duration // how long a clientMessageId is remembered
	ExpireEvery    time.Duration // how often a leader lets its group forget

	// Archive takes what is cold; nil is no archive, and all messages stay hot. Each node must have the same one.
	Archive            archive.Store
	ArchiveAfter       time.Duration // messages younger than this stay hot, and those younger than FeedRetention; default 7 days
	ArchiveEvery       time.Duration // how often a leader looks for cold messages; default 10 minutes
	ArchiveObjectBytes int64         // size of an object, about; default 64 MiB
	HotBytes           int64         // of one group's store, above which younger messages count as cold, too; 0 is no limit
	RetainFor          time.Duration // after which messages are deleted, where the chat has no time of its own; 0 is never

	archivePoint func(archivePoint) error // for tests

	// Backup is where backups go that name no other place; nil is nowhere. It is not the store of the archive.
	Backup     archive.Store
	BackupRate int64 // bytes a second that this node sends of a backup; 0 is no limit

	CardEvery time.Duration // how often the other nodes are asked for their addresses when nothing happens
	DrainWait time.Duration // how long Close waits for other nodes to take over what this one leads

	Limits Limits
	Logger *slog.Logger
	Fatal  func(error)        // told of a storage failure; the default logs it and ends the process
	Clock  func() wire.Millis // the time that entries get; the default is the machine's
}

// The kinds of log.
const (
	LogWAL  = "wal"  // one write-ahead log for all groups of the node, in Dir/wal: groups share writes and syncs
	LogBolt = "bolt" // a bbolt file for each group
)

// Limits are the bounds of a node. A zero field takes its default. What is over a bound gets the error named here.
type Limits struct {
	// Of the road to the log.
	EntryBytes    int           // bytes of commands in one entry
	EntryCommands int           // commands in one entry
	InFlight      int           // entries of one group proposed and not yet applied
	NodeInFlight  int           // the same over all groups of the node, so that entries fill as it gets busy
	QueueBytes    int           // bytes of commands waiting in one group; beyond: BUSY
	OutboxWindow  int           // changes of chat lists under way from one group to the users' groups
	OutboxWait    time.Duration // for one change of a chat list to be acknowledged before it is sent again
	ExpireEvents  int           // feed events that one Expire command looks at
	ReadWait      time.Duration // for a read point at the leader; beyond: TRYAGAIN

	// Of the RESP server.
	Connections    int           // open connections; beyond: closed at once
	ConnCommands   int           // commands of one connection that wait for their answers; beyond it is not read
	ConnReplyBytes int           // bytes of those commands and of their answers; beyond it is not read
	PreAuthArgs    int           // arguments of a command before AUTH
	PreAuthBytes   int           // bytes of a command before AUTH
	CommandArgs    int           // arguments of a command
	ArgumentBytes  int           // bytes of one argument
	CommandBytes   int           // bytes of all arguments of a command
	InlineBytes    int           // bytes of a command that is a line of text
	WriteWait      time.Duration // for a connection to take its answers; beyond: closed
	BlockWait      time.Duration // the longest BLOCK of FEED.READ
	BlockedReads   int           // FEED.READ calls that wait at one time
	FeedEvents     int           // events in one answer of FEED.READ
	FeedBytes      int           // bytes of messages in one answer of FEED.READ or CHAT.RANGE
}

// defaults are the bounds that hold where Config names none.
var defaults = Limits{
	EntryBytes:    256 << 10,
	EntryCommands: 4096,
	InFlight:      3,
	NodeInFlight:  4,
	QueueBytes:    8 << 20,
	OutboxWindow:  1024,
	OutboxWait:    5 * time.Second,
	ExpireEvents:  4096,
	ReadWait:      5 * time.Second,

	Connections:    10_000,
	ConnCommands:   4096,
	ConnReplyBytes: 16 << 20,
	PreAuthArgs:    10,
	PreAuthBytes:   16 << 10,
	CommandArgs:    1024,
	ArgumentBytes:  64 << 10,
	CommandBytes:   256 << 10,
	InlineBytes:    64 << 10,
	WriteWait:      30 * time.Second,
	BlockWait:      30 * time.Second,
	BlockedReads:   1024,
	FeedEvents:     1000,
	FeedBytes:      1 << 20,
}

// withDefaults fills what Config leaves open.
func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.EntryBytes, defaults.EntryBytes},
		{&l.EntryCommands, defaults.EntryCommands},
		{&l.InFlight, defaults.InFlight},
		{&l.NodeInFlight, defaults.NodeInFlight},
		{&l.QueueBytes, defaults.QueueBytes},
		{&l.OutboxWindow, defaults.OutboxWindow},
		{&l.ExpireEvents, defaults.ExpireEvents},
		{&l.Connections, defaults.Connections},
		{&l.ConnCommands, defaults.ConnCommands},
		{&l.ConnReplyBytes, defaults.ConnReplyBytes},
		{&l.PreAuthArgs, defaults.PreAuthArgs},
		{&l.PreAuthBytes, defaults.PreAuthBytes},
		{&l.CommandArgs, defaults.CommandArgs},
		{&l.ArgumentBytes, defaults.ArgumentBytes},
		{&l.CommandBytes, defaults.CommandBytes},
		{&l.InlineBytes, defaults.InlineBytes},
		{&l.BlockedReads, defaults.BlockedReads},
		{&l.FeedEvents, defaults.FeedEvents},
		{&l.FeedBytes, defaults.FeedBytes},
	} {
		orDefault(f.field, f.value)
	}
	orDefault(&l.OutboxWait, defaults.OutboxWait)
	orDefault(&l.ReadWait, defaults.ReadWait)
	orDefault(&l.WriteWait, defaults.WriteWait)
	orDefault(&l.BlockWait, defaults.BlockWait)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.Groups, 8)
	orDefault(&c.Replicas, defaultReplicas)
	orDefault(&c.FeedRetention, 48*time.Hour)
	orDefault(&c.DedupRetention, 7*24*time.Hour)
	orDefault(&c.LogStore, LogWAL)
	orDefault(&c.ExpireEvery, time.Minute)
	orDefault(&c.ArchiveAfter, 7*24*time.Hour)
	orDefault(&c.ArchiveEvery, 10*time.Minute)
	orDefault(&c.ArchiveObjectBytes, 64<<20)
	orDefault(&c.CardEvery, 2*time.Second)
	orDefault(&c.DrainWait, 3*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Fatal == nil {
		c.Fatal = raftfsm.EndProcess(c.Logger)
	}
	if c.Clock == nil {
		c.Clock = func() wire.Millis { return wire.Millis(time.Now().UnixMilli()) }
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

// maxGroups is far above what one node runs well (a few dozen).
const maxGroups = 1024

func (c Config) check() error {
	if err := wire.CheckID("the node's id", string(c.NodeID)); err != nil {
		return err
	}
	if c.Dir == "" || c.RaftAddr == "" || c.RESPAddr == "" {
		return errors.New("sequencer: Dir, RaftAddr and RESPAddr must be set")
	}
	if c.Keys != nil && (c.Keys.Name().Role != trust.Node || c.Keys.Name().ID != string(c.NodeID)) {
		return fmt.Errorf("sequencer: the certificate is that of %s, not of node %s", c.Keys.Name(), c.NodeID)
	}
	if c.UsersFile != "" && c.Keys == nil && c.Password == "" {
		return errors.New("sequencer: with users and without certificates there must be a password, for nodes among themselves")
	}
	if c.LogStore != LogWAL && c.LogStore != LogBolt {
		return fmt.Errorf("sequencer: the log store must be %s or %s, not %q", LogWAL, LogBolt, c.LogStore)
	}
	if c.Groups < 1 || c.Groups > maxGroups {
		return fmt.Errorf("sequencer: the number of groups must be 1 to %d, not %d", maxGroups, c.Groups)
	}
	return nil
}

// checkBootstrap says whether a node without data could take part: nobody would ever ask one that is not in the list.
func (c Config) checkBootstrap() error {
	if c.Join != "" {
		return nil
	}
	for _, p := range c.Bootstrap {
		if p.ID == c.NodeID {
			return nil
		}
	}
	return fmt.Errorf("%s holds no data yet, so Bootstrap must name the first nodes, %s among them, or Join a node of a cluster",
		c.Dir, c.NodeID)
}

func millisOf(d time.Duration) wire.Millis { return wire.Millis(d.Milliseconds()) }
