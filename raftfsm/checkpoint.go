package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// A checkpoint is the files of a group's state at one entry of its log, away from its replica: what a backup holds.

// Position is an entry of a group's log.
type Position struct{ Index, Term uint64 }

// Checkpoint puts a copy of the replica's state into dir, which must not exist and is on the same file system: its tables are
// hard links. It tells the entry that the copy ends with. Entries go on being applied meanwhile.
func (g *Group) Checkpoint(dir string) (Position, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return Position{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	if _, err := g.store.Checkpoint(dir); err != nil {
		return Position{}, err
	}
	return CheckpointPosition(dir)
}

// CheckpointPosition tells the entry that a checkpoint ends with.
func CheckpointPosition(dir string) (at Position, err error) {
	err = viewCheckpoint(dir, func(db *pebble.DB) error {
		m, err := readMeta(db)
		if err == nil && m.index == 0 {
			err = errNoState
		}
		at = Position{m.index, m.term}
		return err
	})
	return at, err
}

// CheckpointFile is one file of a checkpoint.
type CheckpointFile struct {
	Name  string
	Size  int64
	Table bool // it is never written again: files of equal content are the same, whosoever's they are
}

// CheckpointFiles lists the files of a checkpoint by name.
func CheckpointFiles(dir string) ([]CheckpointFile, error) {
	files, _, err := listCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	all := make([]CheckpointFile, len(files))
	for i, f := range files {
		all[i] = CheckpointFile{Name: f.name, Size: f.size, Table: strings.HasSuffix(f.name, tableSuffix)}
	}
	return all, nil
}

// GoodFileName tells whether a checkpoint may have a file of that name. None leads out of its directory.
func GoodFileName(name string) bool { return goodFileName(name) && name != lockName }

// VerifyTable reads all blocks of a table and compares them with their checksums: ErrCorrupt where one does not fit.
func VerifyTable(path string) error { return verifyTable(path) }

// CheckpointSegments gives the objects of the archive that a checkpoint refers to.
func CheckpointSegments(dir string) (all []wire.Segment, err error) {
	err = viewCheckpoint(dir, func(db *pebble.DB) error {
		return eachRecord(db, tableSegment, func(key, value []byte) error {
			seg, err := decodeSegment(value, keyNumber(key))
			all = append(all, seg.ref)
			return err
		})
	})
	return all, err
}

// viewCheckpoint opens a checkpoint for reading. A file that is not what was written is ErrCorrupt.
func viewCheckpoint(dir string, read func(db *pebble.DB) error) error {
	db, err := checkpointStore().openPebble(dir, true, &failure{})
	if err != nil {
		return openDamage(dir, fmt.Errorf("open a checkpoint: %w", err))
	}
	if err := errors.Join(read(db), db.Close()); err != nil {
		return openDamage(dir, fmt.Errorf("read a checkpoint: %w", err))
	}
	return nil
}

// checkpointStore is a store of no group, whose options open checkpoints. Its memory is small: nothing is read twice.
func checkpointStore() *Store {
	return &Store{cfg: StoreConfig{CacheBytes: 32 << 20}.withDefaults()}
}

// eachRecord visits the records of a table in the order of their keys.
func eachRecord(db pebble.Reader, table byte, visit func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := visit(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// Contents is what a checkpoint holds.
type Contents struct {
	Position
	Chats, Messages, Lines, Events, Segments uint64 // messages: those that are not in the archive; lines: of chat lists
}

// errHole says that a log in a checkpoint does not go on where it should.
var errHole = errors.New("a record is missing")

// CheckContents reads every record of a checkpoint. One that cannot be read, or a hole in the log of a chat or in the feed, is
// an error.
func CheckContents(ctx context.Context, dir string) (c Contents, err error) {
	if c.Position, err = CheckpointPosition(dir); err != nil {
		return c, err
	}
	err = viewCheckpoint(dir, func(db *pebble.DB) error {
		it, err := db.NewIter(nil)
		if err != nil {
			return err
		}
		check := contentsCheck{db: db, c: &c}
		for ok, n := it.First(), 0; ok; ok, n = it.Next(), n+1 {
			if n%4096 == 0 && ctx.Err() != nil {
				return errors.Join(ctx.Err(), it.Close())
			}
			if err := check.record(it.Key(), it.Value()); err != nil {
				return errors.Join(fmt.Errorf("record %.80q: %w", it.Key(), err), it.Close())
			}
		}
		return errors.Join(check.ended(), it.Close())
	})
	return c, err
}

// contentsCheck looks at the records of a checkpoint in the order of their keys.
type contentsCheck struct {
	db *pebble.DB
	c  *Contents

	chat  string      // whose messages are being read
	seq   wire.Seq    // of the last one
	last  wire.Seq    // that the chat should have
	event wire.Offset // the last one
}

// record checks one record. Tables that are not named have records of which all that is known here is that they have a version.
func (k *contentsCheck) record(key, value []byte) (err error) {
	switch key[0] {
	case tableChat:
		k.c.Chats++
		_, err = decodeChat(value)
	case tableCounters:
		_, err = decodeCounters(value)
	case tableMessage:
		err = k.message(key, value)
	case tableUserChat:
		k.c.Lines++
		_, err = decodeUserChat(value, "")
	case tableFeed:
		err = k.feed(key, value)
	case tableSegment:
		k.c.Segments++
		_, err = decodeSegment(value, keyNumber(key))
	case tableRun:
		_, err = decodeArchivedRun(value)
	case tableKeeping:
		_, err = decodeKeeping(value)
	case tableMeta:
		_, err = decodeMeta(value)
	case tableDedup:
		_, err = decodeDedup(value)
	case tableMarks:
		_, err = decodeMarks(value, "")
	case tablePush:
		_, err = decodePush(value)
	default:
		err = openRecord(value).err
	}
	return err
}

// message checks that the messages of a chat go from the first hot one to its last without a hole.
func (k *contentsCheck) message(key, value []byte) error {
	k.c.Messages++
	chat, seq := string(key[1:len(key)-9]), wire.Seq(keyNumber(key))
	if _, err := decodeMessage(value, chat, seq); err != nil {
		return err
	}
	want := k.seq + 1
	if chat != k.chat {
		if err := k.ended(); err != nil {
			return err
		}
		count, err := readCounters(k.db, chat)
		if err != nil {
			return err
		}
		k.chat, k.last, want = chat, count.lastSeq, count.hotFrom
	}
	k.seq = seq
	if seq != want {
		return fmt.Errorf("%w: %s:%d", errHole, chat, want)
	}
	return nil
}

// ended checks that the chat whose messages were read goes as far as it should.
func (k *contentsCheck) ended() error {
	if k.chat != "" && k.seq != k.last {
		return fmt.Errorf("%w: %s goes to %d, not to %d", errHole, k.chat, k.last, k.seq)
	}
	return nil
}

func (k *contentsCheck) feed(key, value []byte) error {
	k.c.Events++
	offset := wire.Offset(keyNumber(key))
	if _, err := decodeEvent(value, offset); err != nil {
		return err
	}
	if k.event != 0 && offset != k.event+1 {
		return fmt.Errorf("%w: event %d", errHole, k.event+1)
	}
	k.event = offset
	return nil
}
