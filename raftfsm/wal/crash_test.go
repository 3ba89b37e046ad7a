package wal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// ledger is what a group's log must hold: what was acknowledged, and the one operation that may have been under way.
type ledger struct {
	first, last uint64 // acknowledged; 0 where there is none
	terms       map[uint64]uint64
	// under way: one of these is set
	storing  []*raft.Log
	cutFrom  uint64
	cutTo    uint64
	removing bool
}

// script is a workload in which every kind of record, rolls, removed segments and moved entries occur.
type script struct {
	log     *Log
	ledgers map[uint32]*ledger
	term    uint64
}

func (s *script) ledger(id uint32) *ledger {
	if s.ledgers[id] == nil {
		s.ledgers[id] = &ledger{terms: map[uint64]uint64{}}
	}
	return s.ledgers[id]
}

func (s *script) store(id uint32, from, to uint64, size int) error {
	l := s.ledger(id)
	l.storing = entries(id, from, to, s.term, size)
	g, err := s.log.Group(id)
	if err == nil {
		err = g.StoreLogs(l.storing)
	}
	if err != nil {
		return err
	}
	l.stored(from, to, s.term)
	return nil
}

func (l *ledger) stored(from, to, term uint64) {
	if l.last == 0 || from > l.last+1 {
		l.first = from
	}
	for i := from; i <= to; i++ {
		l.terms[i] = term
	}
	l.last, l.storing = to, nil
}

func (s *script) cut(id uint32, from, to uint64) error {
	l := s.ledger(id)
	l.cutFrom, l.cutTo = from, to
	g, err := s.log.Group(id)
	if err == nil {
		err = g.DeleteRange(from, to)
	}
	if err != nil {
		return err
	}
	l.wasCut()
	return nil
}

func (l *ledger) wasCut() {
	switch {
	case l.cutFrom <= l.first && l.cutTo >= l.last:
		l.first, l.last = 0, 0
	case l.cutFrom <= l.first:
		l.first = l.cutTo + 1
	default:
		l.last = l.cutFrom - 1
	}
	l.cutFrom, l.cutTo = 0, 0
}

// run is the workload. round makes the rounds differ.
func (s *script) run(round uint64) error {
	s.term++
	base := s.ledger(2).last
	for i := range uint64(6) {
		if err := s.store(2, base+1+i*2, base+2+i*2, 900); err != nil {
			return err
		}
		if i == 1 {
			last := s.ledger(1).last
			if err := s.store(1, last+1, last+3, 60); err != nil { // the slow group, never cut
				return err
			}
		}
		if i == 3 { // a new leader overwrites a tail
			if err := s.cut(2, base+7, base+8); err != nil {
				return err
			}
			s.term++
			if err := s.store(2, base+7, base+8, 300); err != nil {
				return err
			}
		}
	}
	if err := s.cut(2, 0, base+10); err != nil {
		return err
	}
	return s.turnover(round)
}

// turnover lets a group leave a gap, and another one come and go.
func (s *script) turnover(round uint64) error {
	last := s.ledger(3).last
	if err := s.store(3, last+50, last+52, 100); err != nil {
		return err
	}
	if round%2 == 0 {
		return s.store(4, s.ledger(4).last+1, s.ledger(4).last+2, 200)
	}
	s.ledger(4).removing = true
	if err := s.log.Remove(4); err != nil {
		return err
	}
	delete(s.ledgers, 4)
	return nil
}

// check compares a group with its ledger, and takes over what the crash decided.
func (s *script) check(id uint32) error {
	l := s.ledger(id)
	g, err := s.log.Group(id)
	if err != nil {
		return err
	}
	got, err := contents(g)
	if err != nil {
		return err
	}
	first, _ := g.FirstIndex()
	last, _ := g.LastIndex()
	switch {
	case first == l.first && last == l.last: // nothing, or not what was under way
	case l.removing && last == 0:
		*l = ledger{terms: map[uint64]uint64{}}
	case l.storing != nil:
		l.stored(l.storing[0].Index, l.storing[len(l.storing)-1].Index, s.term)
	case l.cutTo != 0:
		l.wasCut()
	}
	if first != l.first || last != l.last {
		return fmt.Errorf("group %d holds %d to %d, want %d to %d", id, first, last, l.first, l.last)
	}
	for i, e := range got {
		if want := entry(id, i, l.terms[i], 0); e.Term != want.Term || string(e.Data[:len(want.Data)]) != string(want.Data) {
			return fmt.Errorf("group %d: entry %d is %+v", id, i, e)
		}
	}
	l.storing, l.cutFrom, l.cutTo, l.removing = nil, 0, 0, false
	return nil
}

func (s *script) checkAll() error {
	for id := range uint32(5) {
		if err := s.check(id); err != nil {
			return err
		}
	}
	return nil
}

// start runs rounds of the workload on a file system until its power fails.
func start(fs *crashFS, s *script, rounds uint64) error {
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
	if err != nil {
		return err
	}
	s.log = l
	for r := range rounds {
		if err := s.run(r); err != nil {
			return err
		}
	}
	return nil
}

const crashRounds = 8

// TestCrash_AtEveryOperation cuts the power before each operation of the disk, with nothing, all or some of what was not
// synced surviving; then again during what follows. What was acknowledged must be there, and nothing else but all of the
// operation that was under way.
func TestCrash_AtEveryOperation(t *testing.T) {
	whole := newCrashFS()
	s := &script{ledgers: map[uint32]*ledger{}}
	must(t, start(whole, s, crashRounds))
	must(t, s.checkAll())
	if n := s.log.Stats().Segments; n > slackSegments+3 || s.log.head.header.number < 10 {
		t.Fatalf("the workload tests too little: %d segments of %d", n, s.log.head.header.number)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 1; at <= whole.ops; at += step {
		for _, what := range []survivors{nothing, allOfIt, someOfIt} {
			crashAt(t, at, what)
		}
	}
	t.Logf("%d operations", whole.ops)
}

func crashAt(t *testing.T, at int, what survivors) {
	t.Helper()
	fs := newCrashFS()
	s := &script{ledgers: map[uint32]*ledger{}}
	for crash := range 3 {
		fs.failAt = fs.ops + at
		if crash > 0 {
			fs.failAt = fs.ops + 1 + (at+crash*13)%40
		}
		err := start(fs, s, crashRounds)
		if err != nil && !errors.Is(err, errPower) {
			t.Fatalf("operation %d, crash %d, survivors %d: %v", at, crash, what, err)
		}
		fs = fs.crash(what, uint64(at))
		s.mustRecover(t, fs, fmt.Sprintf("operation %d, crash %d, survivors %d", at, crash, what))
		fs = fs.crash(nothing, 0) // what was there after the start must stay there
		s.mustRecover(t, fs, fmt.Sprintf("operation %d, crash %d, survivors %d, and the power", at, crash, what))
	}
}

// mustRecover opens the log and checks it.
func (s *script) mustRecover(t *testing.T, fs FS, when string) {
	t.Helper()
	l, err := Open("log", Options{FS: fs, SegmentBytes: minSegmentBytes, Inline: true})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	s.log = l
	if err := s.checkAll(); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	must(t, l.Close())
}

// TestCrash_WithoutSyncLoses checks the check: a disk that forgets what it said was synced must be noticed.
func TestCrash_WithoutSyncLoses(t *testing.T) {
	fs := newCrashFS()
	s := &script{ledgers: map[uint32]*ledger{}}
	must(t, start(fs, s, 1))
	for _, f := range fs.names {
		f.disk = f.disk[:len(f.disk)-minSegmentBytes/2]
	}
	l, err := Open("log", Options{FS: fs.crash(nothing, 1), SegmentBytes: minSegmentBytes, Inline: true})
	if err == nil {
		s.log = l
		err = s.checkAll()
	}
	if err == nil {
		t.Fatal("lost entries were not missed")
	}
}

func TestLog_DiskFullIsTypedAndPasses(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	g := mustGroup(t, l, 1)
	fs.room = 0
	var stored uint64
	var err error
	for err == nil {
		if err = g.StoreLog(entry(1, stored+1, 1, 500)); err == nil {
			stored++
		}
	}
	if !errors.Is(err, ErrFull) || errors.Is(err, ErrFailed) {
		t.Fatalf("got %v", err)
	}
	mustHold(t, g, entries(1, 1, stored, 1, 500))
	fs.room = 1 << 20
	must(t, g.StoreLogs(entries(1, stored+1, stored+40, 1, 500)))
	must(t, l.Close())
	l = mustOpen(t, fs)
	defer l.Close()
	mustHold(t, mustGroup(t, l, 1), entries(1, 1, stored+40, 1, 500))
}

func TestLog_FailedSyncEndsWriting(t *testing.T) {
	fs := newCrashFS()
	l := mustOpen(t, fs)
	defer l.Close()
	g := mustGroup(t, l, 1)
	must(t, g.StoreLog(entry(1, 1, 1, 10)))
	broken := errors.New("broken disk")
	fs.failing = broken
	if err := g.StoreLog(entry(1, 2, 1, 10)); !errors.Is(err, ErrFailed) || !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	fs.failing = nil
	if err := mustGroup(t, l, 2).StoreLog(entry(2, 1, 1, 10)); !errors.Is(err, ErrFailed) {
		t.Fatalf("a write after a failed sync: %v", err)
	}
	mustHold(t, g, entries(1, 1, 1, 1, 10))
}
