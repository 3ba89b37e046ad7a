package raftfsm

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// plant is a bug that a simulation has on purpose, to see that it would be found.
type plant struct {
	noSync    bool                   // the log answers before it is durable
	ackEarly  bool                   // the leader answers an append before the group has committed it
	staleRead bool                   // whoever is asked reads, and does not ask the others whether it leads
	skew      bool                   // each replica applies with a clock of its own
	lifted    gate                   // where nobody waits for the leader's disk
	spoil     func(dir string) error // done to each snapshot
}

// planted are the bugs, and within how many seeds each must be found.
var planted = map[string]struct {
	bug   plant
	seeds int
}{
	"the log answers before it is durable":             {plant{noSync: true}, 20},
	"an append is answered before it is committed":     {plant{ackEarly: true}, 20},
	"a snapshot leaves out the dedup table":            {plant{spoil: forgetDedup}, 60},
	"a snapshot claims an entry that it does not hold": {plant{spoil: skipLast}, 60},
	"a read does not ask whether its node leads":       {plant{staleRead: true}, 20},
	"replicas apply with different clocks":             {plant{skew: true}, 10},
	"an append is applied that the leader may lose":    {plant{lifted: gateApply}, 60},
}

// TestSimulation_FindsPlantedBugs: a simulation is worth what it finds.
func TestSimulation_FindsPlantedBugs(t *testing.T) {
	for name, p := range planted {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(p.seeds) {
				if s := simulate(t, seed+1, p.bug); s.failure != "" {
					t.Logf("%.300s", s.failure)
					return
				}
			}
			t.Errorf("not found in %d seeds", p.seeds)
		})
	}
}

// early is the answer that a leader gives without waiting where that is planted: what it thinks the next seq is.
func (s *sim) early(n *simNode, g *Group, commands []Command) []Result {
	a, ok := commands[0].(Append)
	if !ok || !s.bug.ackEarly {
		return nil
	}
	known := false
	err := g.Store().view(func(db *pebble.DB) error {
		_, closer, err := db.Get(dedupKey(nil, a.ChatID, a.SenderID, a.ClientMessageID))
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		known = true
		return closer.Close()
	})
	c, chatErr := g.Store().Chat(a.ChatID)
	if known || chatErr != nil || err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.ahead == nil || n.aheadOf != g {
		n.ahead, n.aheadOf = map[string]wire.Seq{}, g
	}
	n.ahead[a.ChatID] = max(n.ahead[a.ChatID], c.LastSeq) + 1
	return []Result{{Append: AppendResult{Seq: n.ahead[a.ChatID]}}}
}

// rewrite changes a snapshot.
func rewrite(dir string, do func(db *pebble.DB) error) error {
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebbleFormat, DisableWAL: true, Logger: quiet{&failure{}}})
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Flush(), db.Close())
}

// forgetDedup leaves the dedup table out.
func forgetDedup(dir string) error {
	return rewrite(dir, func(db *pebble.DB) error {
		return db.DeleteRange([]byte{tableDedup}, []byte{tableDedup + 1}, pebble.NoSync)
	})
}

// skipLast has whoever restores a snapshot believe that it holds one entry more than it does.
func skipLast(dir string) error {
	return rewrite(dir, func(db *pebble.DB) error {
		m, err := readMeta(db)
		if err != nil {
			return err
		}
		m.index++
		return db.Set(metaKey, m.append(nil), pebble.NoSync)
	})
}

// skewedLog adds to the time of each entry as it is read: this replica goes by a clock of its own.
type skewedLog struct {
	raft.LogStore
	by wire.Millis
}

func (l skewedLog) GetLog(index uint64, to *raft.Log) error {
	err := l.LogStore.GetLog(index, to)
	if err != nil || to.Type != raft.LogCommand {
		return err
	}
	e, err := DecodeEntry(to.Data)
	if err != nil {
		return err
	}
	var body []byte
	for _, c := range e.Commands {
		body = AppendCommand(body, c)
	}
	to.Data = AppendEntry(nil, wire.OldestFormat, e.Time+l.by, len(e.Commands), body)
	return nil
}

// wrapLog is what a node's log is wrapped in: a disk that takes its time, and whatever is planted.
func (s *sim) wrapLog(n *simNode) func(raft.LogStore) raft.LogStore {
	return func(inner raft.LogStore) raft.LogStore {
		if s.bug.skew {
			inner = skewedLog{inner, wire.Millis(n.peer.ID[1])}
		}
		return slowLog{inner, n}
	}
}
