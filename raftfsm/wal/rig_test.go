package wal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// entry makes an entry whose data tells where it belongs.
func entry(group uint32, index, term uint64, size int) *raft.Log {
	data := []byte(fmt.Sprintf("group %d index %d term %d ", group, index, term))
	for len(data) < size {
		data = append(data, byte(index), byte(term), byte(len(data)), byte(group))
	}
	l := &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data, AppendedAt: time.Unix(int64(index), 5)}
	if index%3 == 0 {
		l.Extensions = []byte("extension")
	}
	return l
}

func entries(group uint32, from, to, term uint64, size int) []*raft.Log {
	var all []*raft.Log
	for i := from; i <= to; i++ {
		all = append(all, entry(group, i, term, size))
	}
	return all
}

func mustOpen(t testing.TB, fs FS) *Log {
	t.Helper()
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustGroup(t testing.TB, l *Log, id uint32) *GroupLog {
	t.Helper()
	g, err := l.Group(id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents reads all entries of a group.
func contents(g *GroupLog) (map[uint64]*raft.Log, error) {
	first, _ := g.FirstIndex()
	last, _ := g.LastIndex()
	all := map[uint64]*raft.Log{}
	for i := first; i <= last && last > 0; i++ {
		var l raft.Log
		if err := g.GetLog(i, &l); err != nil {
			return nil, fmt.Errorf("entry %d of %d to %d: %w", i, first, last, err)
		}
		all[i] = &l
	}
	return all, nil
}

// mustHold demands that a group holds just these entries.
func mustHold(t testing.TB, g *GroupLog, want []*raft.Log) {
	t.Helper()
	got, err := contents(g)
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("group %d holds %d entries, want %d", g.id, len(got), len(want))
	}
	for _, w := range want {
		if err := sameEntry(got[w.Index], w); err != nil {
			t.Fatalf("group %d: %v", g.id, err)
		}
	}
}

func sameEntry(got, want *raft.Log) error {
	switch {
	case got == nil:
		return fmt.Errorf("entry %d is missing", want.Index)
	case got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
		!bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt):
		return fmt.Errorf("entry %d: got %+v, want %+v", want.Index, got, want)
	}
	return nil
}

// mustBeCorrupt opens a log that is damaged.
func mustBeCorrupt(t *testing.T, fs FS) *CorruptError {
	t.Helper()
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
	if err == nil {
		l.Close()
		t.Fatal("a damaged log was opened")
	}
	var c *CorruptError
	if !errors.Is(err, ErrCorrupt) || !errors.As(err, &c) {
		t.Fatalf("got %v", err)
	}
	return c
}
