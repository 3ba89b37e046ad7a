package raftfsm

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// Group is this node's replica of one Raft group.
type Group struct {
	cfg       Config
	log       *slog.Logger
	store     *Store
	bolt      *raftboltdb.BoltStore // term and vote, and the log where it is not in cfg.WAL
	entries   raft.LogStore         // the log, whose entries have checksums
	checked   *checkedLog           // the log in bolt; nil where it is in cfg.WAL, which verifies itself
	stable    checkedStable         // over bolt
	dog       *watchdog
	transport *transport
	early     *earlyLog // what is beneath logs
	logs      *floorLog // the log as raft sees it
	raft      *raft.Raft
	installs  atomic.Uint64
	stats     *Stats
	contacts  *contacts     // with followers, for reads
	repeats   installCount  // of the same snapshot
	scrubbed  atomic.Uint64 // bytes verified by the scrub
	turn      chan struct{} // the node's, to scrub
	watched   atomic.Int64  // futures of raft that have not been answered

	observer     *raft.Observer
	observations chan raft.Observation

	mu      sync.Mutex
	serving uint64        // the term in which this node leads and has caught up, or 0
	changed chan struct{} // closed when Leader or Serving may answer otherwise; then replaced

	reads   chan *readPoint
	closing chan struct{}
	stopped chan struct{} // closed when raft has ended
	once    sync.Once
	done    sync.WaitGroup
	closed  error // of the first Close
}

// Open opens the replica in cfg.Dir, or makes it. It takes part in elections at once. Its files are verified first, as far
// as DESIGN.md says; where they are not what was written, they are set aside and the error is ErrReplicaLost.
func Open(cfg Config, mux *Mux) (*Group, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Fatal = marking(cfg.Dir, cfg.Fatal)
	g := &Group{
		cfg: cfg, log: cfg.Logger, changed: make(chan struct{}), closing: make(chan struct{}), stopped: make(chan struct{}),
		reads: make(chan *readPoint, maxWaitingReads), observations: make(chan raft.Observation, 64),
		dog: newWatchdog(cfg.WriteDeadline, cfg.Fatal), stats: newStats(), contacts: newContacts(),
	}
	if err := g.open(mux); err != nil {
		err = errors.Join(err, g.closeFiles())
		if isDamage(err) {
			err = setAside(cfg.Dir, err)
		}
		return nil, err
	}
	g.observer = raft.NewObserver(g.observations, false, func(o *raft.Observation) bool {
		g.stats.observe(o.Data)
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	g.raft.RegisterObserver(g.observer)
	for _, run := range []func(){g.follow, g.serveReads, g.size, g.scrub} {
		g.done.Add(1)
		go run()
	}
	return g, nil
}

func (g *Group) open(mux *Mux) error {
	if err := os.MkdirAll(g.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("make the group's directory: %w", err)
	}
	if err := checkPresent(g.cfg.Dir); err != nil {
		return err
	}
	var err error
	if g.store, err = OpenStore(filepath.Join(g.cfg.Dir, "store"), g.cfg.Store); err != nil {
		return openDamage(filepath.Join(g.cfg.Dir, "store", "db"), err)
	}
	if err := g.openLog(); err != nil {
		return err
	}
	snapshots, err := openSnapshots(filepath.Join(g.cfg.Dir, "snapshots"), g.installed, g.cfg.Fatal)
	if err != nil {
		return err
	}
	if err := g.plant(snapshots); err != nil {
		return err
	}
	snapshots.taken = g.stats.Snapshots.Took
	if err := g.reconcile(snapshots); err != nil {
		return err
	}
	if err := made(g.cfg); err != nil {
		return err
	}
	g.turn = mux.scrubTurn
	return g.start(mux, snapshots)
}

// reconcile makes sure that raft can go on from the state: the log, or a snapshot, must hold what follows it.
func (g *Group) reconcile(snapshots *snapshotStore) error {
	p, err := g.examine(snapshots)
	if err != nil {
		return err
	}
	all, err := snapshots.List()
	if err != nil {
		return err
	}
	if len(all) > 0 && p.applied < p.snapshot {
		_, rc, err := snapshots.Open(all[0].ID)
		if err != nil {
			return err
		}
		if err := errors.Join(restore(g.store, rc), rc.Close()); err != nil {
			return fmt.Errorf("restore snapshot %s: %w", all[0].ID, err)
		}
	}
	if p.last > 0 && (p.last < p.snapshot || p.contradicted) { // the installation of a snapshot was cut short
		return g.entries.DeleteRange(p.first, p.last)
	}
	return nil
}

func (g *Group) start(mux *Mux, snapshots *snapshotStore) error {
	cached, err := raft.NewLogCache(logCacheEntries, g.entries)
	if err != nil {
		return err
	}
	guarded := guardedLog{LogStore: cached, dog: g.dog}
	var logs raft.LogStore = timedLog{LogStore: guarded, stats: g.stats}
	if g.cfg.WrapLogStore != nil {
		logs = g.cfg.WrapLogStore(logs)
	}
	g.early = newEarlyLog(logs, &g.cfg)
	floor := &floorLog{LogStore: g.early}
	logs = floor
	if all, err := snapshots.List(); err != nil {
		return err
	} else if len(all) > 0 {
		floor.raise(all[0].Index, all[0].Term)
	}
	snapshots.kept = floor.raise
	stable := guardedStable{StableStore: g.stable, dog: g.dog}
	l, err := mux.layer(g.cfg)
	if err != nil {
		return err
	}
	options := g.cfg.raftConfig()
	g.logs = floor
	g.transport = newTransport(l, options, g.log, g.cfg.MaxSnapshotBytes)
	g.transport.guard.holds = g.holdsAgain
	if err := g.bootstrap(options, logs, stable, snapshots); err != nil {
		return err
	}
	machine := timedFSM{FSM: newFSM(g.store, g.cfg.Fatal), stats: g.stats}
	machine.holds, machine.restored = g.holds, floor.raise
	network := provenTransport{settledTransport{timedTransport{g.transport, g.stats}, g.early}, g.contacts}
	g.raft, err = raft.NewRaft(options, durableFSM{machine, g.early}, logs, stable, snapshots, network)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	g.early.leads(g.raft)
	g.transport.serve(g.raft)
	return nil
}

// bootstrap writes the first configuration where there is nothing yet.
func (g *Group) bootstrap(options *raft.Config, logs raft.LogStore, stable raft.StableStore, snapshots *snapshotStore) error {
	exists, err := raft.HasExistingState(logs, stable, snapshots)
	if err != nil || exists || len(g.cfg.Bootstrap) == 0 {
		return err
	}
	if err := raft.BootstrapCluster(options, logs, stable, snapshots, g.transport, firstConfiguration(g.cfg.Bootstrap)); err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	return nil
}

// firstConfiguration is that of a group which begins with these voters.
func firstConfiguration(voters []Peer) (first raft.Configuration) {
	for _, p := range voters {
		first.Servers = append(first.Servers, raft.Server{Suffrage: raft.Voter, ID: p.serverID(), Address: p.serverAddr()})
	}
	return first
}

// Store gives the reads of this replica.
func (g *Group) Store() *Store { return g.store }

// Close leaves the group and closes the files. It waits for the goroutines, for raft's up to 10 s.
func (g *Group) Close() error {
	g.once.Do(func() {
		close(g.closing)
		g.raft.DeregisterObserver(g.observer)
		g.settle()
		ended := g.watch(g.raft.Shutdown())
		g.dog.close()
		var err error
		select {
		case err = <-ended:
		case <-time.After(shutdownWait):
			err = fmt.Errorf("group %d: raft has not ended in %s", g.cfg.Group, shutdownWait)
		}
		close(g.stopped)
		g.done.Wait()
		g.closed = errors.Join(err, g.closeFiles())
	})
	return g.closed
}

// closeFiles closes whatever is open.
func (g *Group) closeFiles() error {
	var errs []error
	if g.transport != nil {
		errs = append(errs, g.transport.Close())
	}
	if g.early != nil {
		g.early.close()
	}
	if g.bolt != nil {
		errs = append(errs, g.bolt.Close())
	}
	if g.store != nil {
		errs = append(errs, g.store.Close())
	}
	return errors.Join(errs...)
}

// size keeps the log behind snapshots within its bytes: raft counts entries, and they may hold 100 bytes or 256 KiB.
func (g *Group) size() {
	defer g.done.Done()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-g.closing:
			return
		}
		g.resize()
	}
}

// resize tells raft how many entries to keep behind its next snapshot.
func (g *Group) resize() {
	keep, err := trailing(g.entries, g.cfg.TrailingBytes)
	if err == nil {
		reload := g.raft.ReloadableConfig()
		if reload.TrailingLogs == keep {
			return
		}
		reload.TrailingLogs = keep
		err = g.raft.ReloadConfig(reload)
	}
	if err != nil {
		g.log.Warn("size the log", "err", err)
	}
}
