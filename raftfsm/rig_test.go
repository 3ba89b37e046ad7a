package raftfsm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// machine is a state machine over a store of its own, fed by hand.
type machine struct {
	t     testing.TB
	dir   string
	fs    vfs.FS // nil for the disk
	store *Store
	fsm   *FSM
	index uint64
}

func newMachine(t testing.TB) *machine {
	m := &machine{t: t, dir: t.TempDir()}
	m.open()
	t.Cleanup(func() { m.store.Close() })
	return m
}

func (m *machine) open() {
	m.t.Helper()
	store, err := OpenStore(m.dir, StoreConfig{fs: m.fs})
	if err != nil {
		m.t.Fatal(err)
	}
	m.store = store
	m.fsm = newFSM(store, func(err error) { panic(err) })
}

// crash loses what is only in memory, and opens the store again.
func (m *machine) crash() {
	m.t.Helper()
	if err := m.store.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
}

func logOf(index uint64, now wire.Millis, commands ...Command) *raft.Log {
	var body []byte
	for _, c := range commands {
		body = AppendCommand(body, c)
	}
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: AppendEntry(nil, wire.NewestFormat, now, len(commands), body)}
}

// do applies commands as the next entry.
func (m *machine) do(now wire.Millis, commands ...Command) []Result {
	m.t.Helper()
	m.index++
	return m.fsm.Apply(logOf(m.index, now, commands...)).([]Result)
}

// one applies one command that must succeed.
func (m *machine) one(now wire.Millis, c Command) Result {
	m.t.Helper()
	r := m.do(now, c)[0]
	if r.Err != nil {
		m.t.Fatalf("%+v: %v", c, r.Err)
	}
	return r
}

// dump gives every key and value of a store, in order.
func dump(t testing.TB, s *Store) string {
	t.Helper()
	var out strings.Builder
	err := s.view(func(db *pebble.DB) error {
		it, err := db.NewIter(nil)
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			fmt.Fprintf(&out, "%q=%x\n", it.Key(), it.Value())
		}
		return it.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func group(chatID string, members ...string) CreateChat {
	return CreateChat{ChatID: chatID, Type: wire.GroupChat, CreatorID: members[0], Members: members}
}

func say(chatID, sender, id, text string) Append {
	return Append{ChatID: chatID, SenderID: sender, ClientMessageID: id, Text: text}
}
