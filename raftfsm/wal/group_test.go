package wal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

func TestGroupLog_IsThereAfterReopen(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	must(t, err)
	for id := range uint32(3) {
		must(t, mustGroup(t, l, id).StoreLogs(entries(id, 5, 20+uint64(id), 1, 100)))
	}
	must(t, mustGroup(t, l, 1).DeleteRange(1, 9))
	must(t, mustGroup(t, l, 2).DeleteRange(15, 100))
	must(t, l.Close())
	must(t, l.Close())
	l, err = Open(dir, Options{MustExist: true})
	must(t, err)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 0), entries(0, 5, 20, 1, 100))
	mustHold(t, mustGroup(t, l, 1), entries(1, 10, 21, 1, 100))
	mustHold(t, mustGroup(t, l, 2), entries(2, 5, 14, 1, 100))
	mustHold(t, mustGroup(t, l, 3), nil)
}

func TestGroupLog_OrderIsKept(t *testing.T) {
	l := mustOpen(t, newCrashFS())
	defer l.Close()
	g := mustGroup(t, l, 1)
	must(t, g.StoreLogs(nil))
	must(t, g.DeleteRange(1, 10))
	must(t, g.StoreLogs(entries(1, 10, 20, 1, 10)))
	for name, err := range map[string]error{
		"an entry that is there": g.StoreLog(entry(1, 20, 1, 10)),
		"an entry before all":    g.StoreLog(entry(1, 3, 1, 10)),
		"a hole in a call":       g.StoreLogs([]*raft.Log{entry(1, 21, 1, 10), entry(1, 23, 1, 10)}),
		"the middle deleted":     g.DeleteRange(12, 14),
	} {
		if !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustHold(t, g, entries(1, 10, 20, 1, 10))
	must(t, g.StoreLogs(entries(1, 100, 101, 1, 10)))
	mustHold(t, g, entries(1, 100, 101, 1, 10))
	if err := g.GetLog(20, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry before a gap: %v", err)
	}
}

func TestLog_RemovedGroupIsGone(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	g := mustGroup(t, l, 1)
	must(t, g.StoreLogs(entries(1, 1, 20, 1, 10)))
	must(t, mustGroup(t, l, 2).StoreLogs(entries(2, 1, 20, 1, 10)))
	must(t, l.Remove(1))
	if ids := l.Groups(); !slices.Equal(ids, []uint32{2}) {
		t.Errorf("groups %d have entries", ids)
	}
	if err := g.StoreLog(entry(1, 21, 1, 10)); !errors.Is(err, ErrClosed) {
		t.Errorf("a removed group took an entry: %v", err)
	}
	mustHold(t, mustGroup(t, l, 1), nil)
	must(t, mustGroup(t, l, 1).StoreLogs(entries(1, 7, 8, 3, 10)))
	must(t, l.Close())
	l = mustOpen(t, fs)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 1), entries(1, 7, 8, 3, 10))
	mustHold(t, mustGroup(t, l, 2), entries(2, 1, 20, 1, 10))
}

func TestLog_ClosedAnswersSo(t *testing.T) {
	l := mustOpen(t, newCrashFS())
	g := mustGroup(t, l, 1)
	must(t, g.StoreLog(entry(1, 1, 1, 10)))
	must(t, l.Close())
	_, err := l.Group(2)
	for _, err := range []error{g.StoreLog(entry(1, 2, 1, 10)), g.GetLog(1, new(raft.Log)), l.Remove(1), err} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestLog_EntryLargerThanSegment(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	g := mustGroup(t, l, 1)
	want := slices.Concat(entries(1, 1, 3, 1, 10), entries(1, 4, 4, 1, 3*minSegmentBytes), entries(1, 5, 6, 1, 10))
	must(t, g.StoreLogs(want[:3]))
	must(t, g.StoreLogs(want[3:]))
	mustHold(t, g, want)
	must(t, l.Close())
	l = mustOpen(t, fs)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 1), want)
}

// TestLog_ManyGroups has many groups write, cut and read at once; the log must not grow with what was cut.
func TestLog_ManyGroups(t *testing.T) {
	const groups, rounds = 32, 60
	dir := t.TempDir()
	l, err := Open(dir, Options{SegmentBytes: 128 << 10})
	must(t, err)
	var wg sync.WaitGroup
	for id := range uint32(groups) {
		wg.Go(func() {
			if err := churn(mustGroup(t, l, id), id, rounds); err != nil {
				t.Errorf("group %d: %v", id, err)
			}
		})
	}
	wg.Wait()
	s := l.Stats()
	if s.FileBytes > 4*s.LiveBytes+10*128<<10 {
		t.Errorf("the log takes too much room: %+v", s)
	}
	t.Logf("%d records in %d syncs; %+v", s.Records, s.Syncs, s)
	must(t, l.Close())
	l, err = Open(dir, Options{SegmentBytes: 128 << 10})
	must(t, err)
	defer l.Close()
	for id := range uint32(groups) {
		last := uint64(rounds * 4)
		mustHold(t, mustGroup(t, l, id), entries(id, last-15, last, 1, 300))
	}
}

// churn keeps a group at its newest 16 entries.
func churn(g *GroupLog, id uint32, rounds int) error {
	for r := range uint64(rounds) {
		last := (r + 1) * 4
		if err := g.StoreLogs(entries(id, last-3, last, 1, 300)); err != nil {
			return err
		}
		if last > 16 {
			if err := g.DeleteRange(1, last-16); err != nil {
				return err
			}
		}
		got, err := contents(g)
		if err != nil {
			return err
		}
		if want := min(last, 16); uint64(len(got)) != want {
			return fmt.Errorf("%d entries, want %d", len(got), want)
		}
	}
	return nil
}

// TestLog_SlowGroupHoldsNoSpace has one group that never cuts its few entries, beside one that writes a lot.
func TestLog_SlowGroupHoldsNoSpace(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	slow, fast := mustGroup(t, l, 1), mustGroup(t, l, 2)
	for i := range uint64(2000) {
		if i%200 == 0 {
			must(t, slow.StoreLog(entry(1, 1+i/200, 1, 200)))
		}
		must(t, fast.StoreLog(entry(2, 1+i, 1, 500)))
		must(t, fast.DeleteRange(0, i))
	}
	if s := l.Stats(); s.Segments > slackSegments+2 {
		t.Errorf("%d segments: %+v", s.Segments, s)
	}
	mustHold(t, slow, entries(1, 1, 10, 1, 200))
	must(t, l.Close())
	l = mustOpen(t, fs)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 1), entries(1, 1, 10, 1, 200))
	mustHold(t, mustGroup(t, l, 2), entries(2, 2000, 2000, 1, 500))
}
