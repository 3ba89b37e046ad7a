package raftfsm

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

func testLog(t *testing.T, entries uint64) (*checkedLog, *raft.InmemStore) {
	t.Helper()
	inner := raft.NewInmemStore()
	log, err := openCheckedLog(inner, logName)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= entries; i++ {
		if err := log.StoreLog(&raft.Log{Index: i, Term: 1, Data: []byte{byte(i)}, Extensions: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	return log, inner
}

func TestCheckedLog_GivesWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	bolt, err := openBolt(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { bolt.Close() }()
	log, err := openCheckedLog(bolt, logName)
	if err != nil {
		t.Fatal(err)
	}
	want := []raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte("one"), Extensions: []byte("e")},
		{Index: 2, Term: 1, Data: bytes.Repeat([]byte("two"), 5000)},
		{Index: 3, Term: 2, Type: raft.LogNoop},
	}
	if err := log.StoreLogs([]*raft.Log{&want[0], &want[1], &want[2]}); err != nil {
		t.Fatal(err)
	}
	if string(want[0].Extensions) != "e" || want[1].Extensions != nil {
		t.Fatal("the caller's entries were changed")
	}
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
	if bolt, err = openBolt(filepath.Join(dir, logName)); err != nil {
		t.Fatal(err)
	}
	if log, err = openCheckedLog(bolt, logName); err != nil {
		t.Fatal(err)
	}
	if err := log.verify(); err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		var got raft.Log
		if err := log.GetLog(w.Index, &got); err != nil {
			t.Fatal(err)
		}
		if got.Term != w.Term || got.Type != w.Type || !bytes.Equal(got.Data, w.Data) ||
			!bytes.Equal(got.Extensions, w.Extensions) {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
	first, err := log.FirstIndex()
	if last, _ := log.LastIndex(); first != 1 || last != 3 || err != nil {
		t.Errorf("the log goes from %d to %d: %v", first, last, err)
	}
}

func TestCheckedLog_Cuts(t *testing.T) {
	for name, cut := range map[string]struct{ low, high, first, last uint64 }{
		"the beginning": {1, 4, 5, 10},
		"the end":       {7, 10, 1, 6},
		"all":           {1, 10, 0, 0},
		"behind all":    {1, 20, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log, inner := testLog(t, 10)
			if err := log.DeleteRange(cut.low, cut.high); err != nil {
				t.Fatal(err)
			}
			again, err := openCheckedLog(inner, logName)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.verify(); err != nil {
				t.Fatal(err)
			}
			last, _ := again.LastIndex()
			if cut.last == 0 { // the memory store does not know that it is empty; bbolt does
				if last != 0 {
					t.Fatalf("the log ends at %d", last)
				}
				return
			}
			if first, _ := again.FirstIndex(); first != cut.first || last != cut.last {
				t.Fatalf("the log goes from %d to %d", first, last)
			}
		})
	}
}

// A log that lost its end is not a shorter log.
func TestCheckedLog_LostEnd(t *testing.T) {
	log, inner := testLog(t, 10)
	if err := inner.DeleteRange(8, 10); err != nil {
		t.Fatal(err)
	}
	if err := log.verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without its last entries: %v", err)
	}
	if err := inner.StoreLog(&raft.Log{Index: tailIndex}); err != nil {
		t.Fatal(err)
	}
	if _, err := openCheckedLog(inner, logName); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without its end: %v", err)
	}
}

func TestCheckedLog_ChangedEntry(t *testing.T) {
	for name, change := range map[string]func(l *raft.Log){
		"data":      func(l *raft.Log) { l.Data[0] ^= 1 },
		"term":      func(l *raft.Log) { l.Term ^= 1 },
		"type":      func(l *raft.Log) { l.Type ^= 1 },
		"extension": func(l *raft.Log) { l.Extensions[0] ^= 1 },
		"sum":       func(l *raft.Log) { l.Extensions[len(l.Extensions)-1] ^= 1 },
		"no sum":    func(l *raft.Log) { l.Extensions = nil },
	} {
		log, inner := testLog(t, 10)
		var l raft.Log
		if err := inner.GetLog(5, &l); err != nil {
			t.Fatal(err)
		}
		l.Data, l.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
		change(&l)
		if err := inner.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
		if err := log.GetLog(5, &l); !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrStorage) {
			t.Errorf("%s: %v", name, err)
		}
		if err := log.verify(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: verified: %v", name, err)
		}
	}
}

func TestCheckedStable_ChangedValue(t *testing.T) {
	inner := raft.NewInmemStore()
	s := checkedStable{inner, logName}
	if err := s.SetUint64(keyTerm, 7); err != nil {
		t.Fatal(err)
	}
	if n, err := s.GetUint64(keyTerm); n != 7 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if _, err := s.Get(keyVoteCand); err == nil || err.Error() != keyNotFound {
		t.Fatalf("a value that was never set: %v", err)
	}
	whole, _ := inner.Get(keyTerm)
	for i := range whole {
		broken := bytes.Clone(whole)
		broken[i] ^= 1
		_ = inner.Set(keyTerm, broken)
		if n, err := s.GetUint64(keyTerm); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %d, %v", i, n, err)
		}
	}
	_ = inner.Set(keyTerm, whole[:2])
	if _, err := s.Get(keyTerm); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut: %v", err)
	}
	_ = inner.Set(keyVoteCand, whole) // a value under another key
	if _, err := s.Get(keyVoteCand); !errors.Is(err, ErrCorrupt) {
		t.Errorf("moved: %v", err)
	}
}

// A term or vote that is gone, or from the past, would let a replica vote twice.
func TestCheckedStable_ForgottenVote(t *testing.T) {
	for name, c := range map[string]struct {
		term, voteTerm uint64
		candidate      string
		used           bool
		highest        uint64
		fits           bool
	}{
		"new":                   {fits: true},
		"used":                  {term: 5, voteTerm: 5, candidate: "n1/1", used: true, highest: 4, fits: true},
		"never voted":           {term: 5, used: true, highest: 5, fits: true},
		"term gone":             {voteTerm: 5, candidate: "n1/1", used: true},
		"all gone":              {used: true, highest: 3},
		"old term":              {term: 2, used: true, highest: 3},
		"vote of a later term":  {term: 2, voteTerm: 3, candidate: "n1/1", used: true},
		"term of the vote gone": {term: 2, candidate: "n1/1", used: true},
		"vote gone":             {term: 3, voteTerm: 3, used: true, highest: 3},
	} {
		s := checkedStable{raft.NewInmemStore(), logName}
		for key, n := range map[string]uint64{string(keyTerm): c.term, string(keyVoteTerm): c.voteTerm} {
			if n > 0 {
				_ = s.SetUint64([]byte(key), n)
			}
		}
		if c.candidate != "" {
			_ = s.Set(keyVoteCand, []byte(c.candidate))
		}
		if err := s.verify(c.used, c.highest); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
