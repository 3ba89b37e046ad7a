package wal

import (
	"maps"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestModel compares the log with a map per group, over stores, cuts, removals and starts.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: newCrashFS(), groups: map[uint32]map[uint64]*raft.Log{}}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"store": m.store, "cut head": m.cutHead, "cut tail": m.cutTail, "remove": m.remove, "open": m.reopen, "": m.check,
		})
	})
}

type model struct {
	fs     *crashFS
	log    *Log
	groups map[uint32]map[uint64]*raft.Log
	term   uint64
}

func (m *model) open(t *rapid.T) {
	var err error
	if m.log, err = Open("log", Options{FS: m.fs, SegmentBytes: minSegmentBytes, Inline: true}); err != nil {
		t.Fatal(err)
	}
}

func (m *model) reopen(t *rapid.T) {
	if rapid.Bool().Draw(t, "crash") {
		m.fs = m.fs.crash(nothing, 0)
	} else if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

func (m *model) pick(t *rapid.T) (uint32, *GroupLog) {
	id := rapid.Uint32Range(0, 3).Draw(t, "group")
	g, err := m.log.Group(id)
	if err != nil {
		t.Fatal(err)
	}
	if m.groups[id] == nil {
		m.groups[id] = map[uint64]*raft.Log{}
	}
	return id, g
}

func (m *model) bounds(id uint32) (first, last uint64) {
	for i := range maps.Keys(m.groups[id]) {
		if first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	return first, last
}

func (m *model) store(t *rapid.T) {
	id, g := m.pick(t)
	_, last := m.bounds(id)
	from := last + 1
	if rapid.IntRange(0, 9).Draw(t, "jump") == 0 {
		from += rapid.Uint64Range(1, 100).Draw(t, "gap")
		if last != 0 {
			clear(m.groups[id])
		}
	}
	m.term++
	size := rapid.SampledFrom([]int{0, 40, 700, 2500}).Draw(t, "size")
	logs := entries(id, from, from+rapid.Uint64Range(0, 4).Draw(t, "count"), m.term, size)
	if err := g.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		m.groups[id][l.Index] = l
	}
}

func (m *model) cut(t *rapid.T, id uint32, g *GroupLog, from, to uint64) {
	if err := g.DeleteRange(from, to); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m.groups[id], func(i uint64, _ *raft.Log) bool { return i >= from && i <= to })
}

func (m *model) cutHead(t *rapid.T) {
	id, g := m.pick(t)
	_, last := m.bounds(id)
	m.cut(t, id, g, 0, rapid.Uint64Range(0, last+2).Draw(t, "to"))
}

func (m *model) cutTail(t *rapid.T) {
	id, g := m.pick(t)
	first, last := m.bounds(id)
	m.cut(t, id, g, rapid.Uint64Range(first, last+2).Draw(t, "from"), last+5)
}

func (m *model) remove(t *rapid.T) {
	id, _ := m.pick(t)
	if rapid.IntRange(0, 5).Draw(t, "rarely") != 0 {
		return
	}
	if err := m.log.Remove(id); err != nil {
		t.Fatal(err)
	}
	clear(m.groups[id])
}

func (m *model) check(t *rapid.T) {
	for id, want := range m.groups {
		g, err := m.log.Group(id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := contents(g)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("group %d holds %d entries, want %d", id, len(got), len(want))
		}
		for i, w := range want {
			if err := sameEntry(got[i], w); err != nil {
				t.Fatalf("group %d: %v", id, err)
			}
		}
	}
	if s := m.log.Stats(); s.FileBytes > 3*s.LiveBytes+(slackSegments+8)*minSegmentBytes {
		t.Fatalf("the log takes too much room: %+v", s)
	}
}
