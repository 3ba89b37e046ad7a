package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// mendBatch is how many records are changed in one batch of Mend.
const mendBatch = 4096

// Mend makes of the checkpoint in dir, which a backup brought from another cluster, the state that the group begins with in a new
// one. The checkpoints of the groups were taken at different times, so what groups have told each other may be in one and not in
// the other, either way. So each chat list forgets which version of a chat it knows, and each chat tells all its members again:
// an outbox record each, in the place of those that were there. It is the same on all nodes, which is what a group begins with.
// It tells how many records it left. An error leaves a directory that must not be used.
func Mend(dir string) (told uint64, err error) {
	db, err := checkpointStore().openPebble(dir, false, &failure{})
	if err != nil {
		return 0, openDamage(dir, fmt.Errorf("mend a checkpoint: %w", err))
	}
	m := mender{db: db, batch: db.NewBatch()}
	err = m.mend()
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, fmt.Errorf("mend a checkpoint: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	return m.meta.outboxNext - m.meta.outboxFirst, syncDir(dir)
}

// mender is the state of Mend.
type mender struct {
	db    *pebble.DB
	batch *pebble.Batch
	meta  meta
}

func (m *mender) mend() (err error) {
	if m.meta, err = readMeta(m.db); err != nil {
		return err
	}
	m.meta.outboxFirst = m.meta.outboxNext
	if err := m.batch.DeleteRange([]byte{tableOutbox}, []byte{tableOutbox + 1}, nil); err != nil {
		return err
	}
	if err := m.commit(0); err != nil {
		return err
	}
	if err := eachRecord(m.db, tableUserChat, m.line); err != nil {
		return err
	}
	if err := eachRecord(m.db, tableChat, m.chat); err != nil {
		return err
	}
	if err := m.batch.Set(metaKey, m.meta.append(nil), nil); err != nil {
		return err
	}
	if err := m.commit(0); err != nil {
		return err
	}
	return m.db.Flush()
}

// line takes its version from a line of a chat list: whatever the chat tells is newer.
func (m *mender) line(key, value []byte) error {
	u, err := decodeUserChat(value, "")
	if err != nil {
		return err
	}
	u.chat.Version = 0
	if err := m.batch.Set(key, u.append(nil), nil); err != nil {
		return err
	}
	return m.commit(mendBatch)
}

// chat leaves an outbox record for each member of a chat.
func (m *mender) chat(key, value []byte) error {
	rec, err := decodeChat(value)
	if err != nil {
		return err
	}
	ch := chat{id: string(key[1:]), chatRecord: *rec}
	for _, member := range ch.members {
		record := appendBody(newRecord(nil), PutUserChat{UserID: member.UserID, Present: true, Chat: ch.line()})
		if err := m.batch.Set(numberKey(nil, tableOutbox, m.meta.outboxNext), record, nil); err != nil {
			return err
		}
		m.meta.outboxNext++
	}
	return m.commit(mendBatch)
}

// commit writes the batch where it has at least so many records.
func (m *mender) commit(atLeast uint32) error {
	if m.batch.Count() < atLeast {
		return nil
	}
	if err := m.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	m.batch.Reset()
	return nil
}

// plant makes the checkpoint in cfg.Seed the beginning of a replica that has no data yet: its newest snapshot, under the group's
// first configuration. The log goes on behind it, in a later term. The term is durable before the snapshot is, so that a crash
// in between leaves a replica that is planted again.
func (g *Group) plant(snapshots *snapshotStore) error {
	if g.cfg.Seed == "" || IsReplica(g.cfg.Dir) {
		return nil
	}
	if all, err := snapshots.List(); err != nil || len(all) > 0 {
		return err
	}
	at, err := CheckpointPosition(g.cfg.Seed)
	if err != nil {
		return fmt.Errorf("begin with a restored state: %w", err)
	}
	if err := g.stable.SetUint64(keyTerm, at.Term); err != nil {
		return fmt.Errorf("begin with a restored state: %w", err)
	}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, at.Index, at.Term, firstConfiguration(g.cfg.Bootstrap), at.Index, nil)
	if err != nil {
		return err
	}
	own := sink.(*snapshotSink) // what Create of this package's store gives
	err = os.Mkdir(own.state(), 0o755)
	if err == nil {
		err = linkCheckpoint(g.cfg.Seed, own.state())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin with a restored state: %w", err), sink.Cancel())
	}
	return sink.Close()
}
