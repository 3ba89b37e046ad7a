package sequencer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// replicaSet is the replicas of groups that are open on this node. It is replaced as a whole, so that readers share it.
type replicaSet struct {
	groups []*host // of the groups with chats and users, by id; nil where this node holds no replica
	meta   *host   // of the meta group; nil until this node is part of a cluster
	lost   map[wire.GroupID]uint64
}

// host gives the replica of a group, or nil.
func (s *replicaSet) host(id wire.GroupID) *host {
	switch {
	case id == wire.MetaGroup:
		return s.meta
	case int(id) < len(s.groups):
		return s.groups[id]
	}
	return nil
}

// data gives the replicas of groups with chats and users, by id.
func (s *replicaSet) data() []*host {
	held := s.held()
	if s.meta != nil {
		held = held[:len(held)-1]
	}
	return held
}

// held gives the replicas that are there: those of groups with chats and users by id, then the meta group's.
func (s *replicaSet) held() []*host {
	held := make([]*host, 0, len(s.groups)+1)
	for _, h := range s.groups {
		if h != nil {
			held = append(held, h)
		}
	}
	if s.meta != nil {
		held = append(held, s.meta)
	}
	return held
}

func (n *Node) replicas() *replicaSet { return n.set.Load() }

// change replaces the set. n.setMu is held.
func (n *Node) change(do func(s *replicaSet)) {
	old := n.set.Load()
	next := &replicaSet{groups: slices.Clone(old.groups), meta: old.meta, lost: maps.Clone(old.lost)}
	do(next)
	n.set.Store(next)
}

// replicaDir is where a replica's files are.
func (n *Node) replicaDir(id wire.GroupID, generation uint64) string {
	return filepath.Join(n.cfg.Dir, fmt.Sprintf("group-%d.%d", id, generation))
}

// makeReplica opens a replica that this node has not had before, and starts it. first is its group's first configuration,
// nil where it waits to be added to the group.
func (n *Node) makeReplica(id wire.GroupID, generation uint64, first []raftfsm.Peer) error {
	made := n.identity.get().Made
	if made[id] > generation || made[id] == generation && first == nil {
		return fmt.Errorf("%w: replica %d of group %d was made before", wire.ErrConflict, generation, id)
	}
	err := n.identity.update(func(f *identityFile) {
		f.Made = maps.Clone(f.Made)
		if f.Made == nil {
			f.Made = map[wire.GroupID]uint64{}
		}
		f.Made[id] = generation
	})
	if err != nil {
		return err
	}
	if err := n.openReplica(id, generation, first); err != nil {
		n.loseReplica(id, generation)
		return err
	}
	return nil
}

// openReplica opens a replica and starts it.
func (n *Node) openReplica(id wire.GroupID, generation uint64, first []raftfsm.Peer) error {
	n.setMu.Lock()
	defer n.setMu.Unlock()
	if n.ending {
		return errClosed
	}
	h, err := openHost(n, id, generation, first)
	if err != nil {
		return err
	}
	n.change(func(s *replicaSet) {
		if id == wire.MetaGroup {
			s.meta = h
		} else {
			s.groups[id] = h
		}
		delete(s.lost, id)
	})
	n.cards.follow(h.raft.Status().Peers)
	h.start()
	return nil
}

// reopen opens the replicas that this node made before. Those whose files are gone are lost; the cluster makes new ones.
func (n *Node) reopen() error {
	for _, id := range slices.Sorted(maps.Keys(n.identity.get().Made)) {
		generation := n.identity.get().Made[id]
		dir := n.replicaDir(id, generation)
		if !raftfsm.IsReplica(dir) {
			n.loseReplica(id, generation)
			continue
		}
		err := n.openReplica(id, generation, nil)
		if errors.Is(err, raftfsm.ErrReplicaLost) {
			n.log.Error("a replica is lost", "group", id, "generation", generation, "err", err)
			n.loseReplica(id, generation)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loseReplica remembers that a replica is gone. Whether the group still counts on it, the cluster map says.
func (n *Node) loseReplica(id wire.GroupID, generation uint64) {
	n.setMu.Lock()
	defer n.setMu.Unlock()
	n.change(func(s *replicaSet) {
		if s.lost == nil {
			s.lost = map[wire.GroupID]uint64{}
		}
		s.lost[id] = generation
	})
}

// dropReplica closes a replica that the cluster no longer wants, and deletes its files.
func (n *Node) dropReplica(h *host) error {
	n.setMu.Lock()
	n.change(func(s *replicaSet) {
		if h.id == wire.MetaGroup {
			s.meta = nil
		} else {
			s.groups[h.id] = nil
		}
	})
	n.setMu.Unlock()
	err := h.shut()
	dir := n.replicaDir(h.id, h.generation)
	if err := os.Rename(dir, dir+goneSuffix); err != nil {
		return fmt.Errorf("set the files of group %d aside: %w", h.id, err)
	}
	return errors.Join(err, n.dropLog(h.id), os.RemoveAll(dir+goneSuffix))
}

// goneSuffix marks files that a crash kept from being deleted.
const goneSuffix = ".gone"

// sweep deletes what dropReplica had begun to delete.
func (n *Node) sweep() error {
	entries, err := os.ReadDir(n.cfg.Dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "group-") && strings.HasSuffix(e.Name(), goneSuffix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(n.cfg.Dir, e.Name())))
		}
	}
	return err
}
