package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
)

// puppet is a leader that is moved by hand: one replica of three is real, and hears what the test sends in another's name.
type puppet struct {
	t      *testing.T
	c      *trio
	client *raft.NetworkTransport
	header raft.RPCHeader
	term   uint64
}

func newPuppet(t *testing.T) *puppet {
	c := newTrio(t, nil)
	c.leader()
	c.stop(1)
	c.stop(2)
	mux, err := ListenMux(c.peers[1].RaftAddr, func() Card { return Card{Node: c.peers[1].ID} }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := mux.layer(Config{Node: c.peers[1].ID, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{
		t: t, c: c, term: c.groups[0].Status().Term, client: raft.NewNetworkTransportWithConfig(
			&raft.NetworkTransportConfig{
				Stream: dialLayer{l}, Timeout: 20 * time.Second, Logger: newRaftLogger(slog.New(slog.DiscardHandler)),
				MsgpackUseNewTimeFormat: true,
			}),
		header: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(c.peers[1].serverID()), Addr: []byte(c.peers[1].serverAddr()),
		},
	}
	t.Cleanup(func() {
		p.client.Close()
		if err := mux.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *puppet) last() uint64 { return p.c.groups[0].Status().LastIndex }

// append sends entries of the puppet's term that follow an entry, and reports whether they were taken.
func (p *puppet) append(index, term uint64, entries int) bool {
	p.t.Helper()
	r := raft.AppendEntriesRequest{RPCHeader: p.header, Term: p.term, PrevLogEntry: index, PrevLogTerm: term}
	for i := range entries {
		r.Entries = append(r.Entries, &raft.Log{
			Index: index + 1 + uint64(i), Term: p.term, Data: AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, AckOutbox{})),
		})
	}
	var answer raft.AppendEntriesResponse
	if err := p.client.AppendEntries(p.c.peers[0].serverID(), p.c.peers[0].serverAddr(), &r, &answer); err != nil {
		p.t.Fatal(err)
	}
	return answer.Success
}

// install sends a snapshot up to an entry.
func (p *puppet) install(index, term uint64, stream []byte) {
	p.t.Helper()
	r := raft.InstallSnapshotRequest{
		RPCHeader: p.header, SnapshotVersion: 1, Term: p.term, LastLogIndex: index, LastLogTerm: term, Size: int64(len(stream)),
		Configuration: raft.EncodeConfiguration(p.c.configuration()), ConfigurationIndex: 1,
	}
	var answer raft.InstallSnapshotResponse
	err := p.client.InstallSnapshot(p.c.peers[0].serverID(), p.c.peers[0].serverAddr(), &r, &answer, bytes.NewReader(stream))
	if err != nil || !answer.Success {
		p.t.Fatalf("%+v, %v", answer, err)
	}
}

// configuration is that of the three.
func (c *trio) configuration() (all raft.Configuration) {
	for _, p := range c.peers {
		all.Servers = append(all.Servers, raft.Server{Suffrage: raft.Voter, ID: p.serverID(), Address: p.serverAddr()})
	}
	return all
}

// snapshotStream is a snapshot of a store that has applied so many entries.
func snapshotStream(t *testing.T, index uint64) []byte {
	t.Helper()
	m := newMachine(t)
	for i := range index {
		m.do(wire.Millis(i+1), group(fmt.Sprint("chat", i), "a"))
	}
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := m.store.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	files, _, err := listCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := writeStream(&stream, dir, files); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

// A snapshot that comes late ends within a log that has gone on. Raft alone would take it, and delete the entries after it,
// which this replica has acknowledged.
func TestGroup_LateSnapshotTakesNothingBack(t *testing.T) {
	p := newPuppet(t)
	base, before := p.last(), p.term
	p.term++
	if !p.append(base, before, 10) {
		t.Fatal("the entries were not taken")
	}
	p.install(base+5, p.term, []byte("nobody reads this"))
	g := p.c.groups[0]
	for i := base + 1; i <= base+10; i++ {
		if err := g.entries.GetLog(i, new(raft.Log)); err != nil {
			t.Errorf("entry %d of %d to %d: %v", i, base+1, base+10, err)
		}
	}
	if !p.append(base+10, p.term, 1) || p.last() != base+11 {
		t.Errorf("the log ends at %d, not %d", p.last(), base+11)
	}
	// Where raft is asked all the same, as when the term changed meanwhile, the state refuses.
	m := newMachine(t)
	m.fsm.holds = g.holds
	if err := m.fsm.Restore(&snapshotReader{index: base + 5, term: p.term}); !errors.Is(err, errHeld) {
		t.Errorf("restored: %v", err)
	}
}

// A snapshot takes the place of a log that contradicts it, and the log goes on behind it: Raft alone would refuse every
// entry, and be sent the snapshot again for ever.
func TestGroup_SnapshotReplacesALogThatDiverged(t *testing.T) {
	p := newPuppet(t)
	base, before := p.last(), p.term
	p.term++
	old := p.term
	if !p.append(base, before, 10) {
		t.Fatal("the entries were not taken")
	}
	p.term++
	end := base + 7
	p.install(end, p.term, snapshotStream(t, end))
	if n := p.c.groups[0].Status().Installs; n != 1 {
		t.Fatalf("%d installs", n)
	}
	if p.append(end+1, old, 1) || p.append(end+3, p.term, 1) {
		t.Error("entries were taken that leave a gap")
	}
	if !p.append(end, p.term, 2) {
		t.Fatal("entries that follow the snapshot were refused")
	}
	if !p.append(end+2, p.term, 1) {
		t.Fatal("entries that follow the log were refused")
	}
	p.c.stop(0)
	p.c.start(0)
	if got := p.last(); got != end+3 {
		t.Errorf("the log ends at %d, not %d", got, end+3)
	}
	if _, err := p.c.groups[0].Store().Chat(fmt.Sprint("chat", end-1)); err != nil {
		t.Errorf("the snapshot's state: %v", err)
	}
}

// The entries before and behind a snapshot that a crash left in a log that contradicts it go when the replica starts.
func TestGroup_StartDropsALogThatItsSnapshotContradicts(t *testing.T) {
	p := newPuppet(t)
	base, before := p.last(), p.term
	p.term++
	if !p.append(base, before, 10) {
		t.Fatal("the entries were not taken")
	}
	g := p.c.groups[0]
	snapshots, err := openSnapshots(filepath.Join(g.cfg.Dir, "snapshots"), func(uint64) {}, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	p.term++
	p.append(base+10, p.term-1, 0) // of the new term the replica has heard
	end := base + 7
	sink, err := snapshots.Create(1, end, p.term, p.c.configuration(), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(snapshotStream(t, end)); err != nil {
		t.Fatal(err)
	}
	p.c.stop(0)
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	p.c.start(0)
	if last, err := p.c.groups[0].entries.LastIndex(); err != nil || last != 0 {
		t.Errorf("the log ends at %d, %v", last, err)
	}
	if !p.append(end, p.term, 1) || p.last() != end+1 {
		t.Errorf("the log ends at %d, not %d", p.last(), end+1)
	}
}

func TestFloorLog(t *testing.T) {
	inner := raft.NewInmemStore()
	f := &floorLog{LogStore: inner}
	entries := func(from, to, term uint64) (all []*raft.Log) {
		for i := from; i <= to; i++ {
			all = append(all, &raft.Log{Index: i, Term: term})
		}
		return all
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	term := func(index uint64) int {
		var l raft.Log
		if f.GetLog(index, &l) != nil {
			return -1
		}
		return int(l.Term)
	}
	must(f.StoreLogs(entries(1, 10, 1)))
	must(f.DeleteRange(6, 10)) // a conflict, whose replacement could not be stored
	if term(5) != 1 || term(6) != 0 || term(10) != 0 || term(11) != -1 {
		t.Error(term(5), term(6), term(10), term(11))
	}
	if f.StoreLogs(entries(11, 11, 2)) == nil || f.StoreLog(&raft.Log{Index: 5}) == nil {
		t.Error("a gap, or an overlap, was taken")
	}
	must(f.StoreLogs(entries(6, 7, 2)))
	if term(7) != 2 || term(8) != -1 {
		t.Error(term(7), term(8))
	}
	f.raise(20, 3)
	f.raise(19, 3)
	if term(20) != 3 || term(19) != -1 || f.StoreLogs(entries(20, 20, 3)) == nil {
		t.Error(term(20), term(19))
	}
	must(f.DeleteRange(1, 7))
	must(f.StoreLogs(entries(21, 21, 4)))
	if term(21) != 4 || term(20) != 3 {
		t.Error(term(21), term(20))
	}
}
