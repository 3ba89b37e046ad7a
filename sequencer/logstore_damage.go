package sequencer

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/raftfsm/wal"
	"github.com/quorate/quorate/sequencer/wire"
)

// openDamagedLog opens the node's log without the entries of those groups whose entries are damaged, after it has recorded
// that their replicas are lost: the cluster makes new ones. Where nobody can say whose the damage is, all of them are.
func (n *Node) openDamagedLog(dir string, o wal.Options) (*wal.Log, error) {
	made := n.identity.get().Made
	for range len(made) + 2 {
		l, err := wal.Open(dir, o)
		var damage *wal.CorruptError
		if err == nil || !errors.As(err, &damage) {
			return l, err
		}
		groups, whole := damage.Groups, len(damage.Groups) == 0
		if whole {
			for id := range made {
				groups = append(groups, uint32(id))
			}
		}
		n.log.Error("the log is damaged", "groups", groups, "err", err)
		for _, id := range groups {
			if err := n.markLost(wire.GroupID(id), err); err != nil {
				return nil, err
			}
		}
		switch {
		case whole:
			if err := setLogAside(dir); err != nil {
				return nil, err
			}
			o.MustExist, o.Discard = false, nil
		case slices.Contains(o.Discard, groups[0]):
			return nil, err // it did not help
		default:
			o.Discard = append(o.Discard, groups...)
		}
	}
	return nil, fmt.Errorf("open the log %s: there is no end to its damage", dir)
}

// markLost records that the replica of a group must not be opened again.
func (n *Node) markLost(id wire.GroupID, reason error) error {
	dir := n.replicaDir(id, n.identity.get().Made[id])
	if !raftfsm.IsReplica(dir) {
		return nil
	}
	return raftfsm.MarkCorrupt(dir, reason)
}

// setLogAside renames the log's directory, for whoever looks into it. One is kept.
func setLogAside(dir string) error {
	aside := dir + ".corrupt"
	err := os.RemoveAll(aside)
	if err == nil {
		if err = os.Rename(dir, aside); errors.Is(err, os.ErrNotExist) {
			err = nil // it was gone, and that is the damage
		}
	}
	if err != nil {
		return fmt.Errorf("set the log aside: %w", err)
	}
	return nil
}
