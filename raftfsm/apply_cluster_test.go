package raftfsm

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestFSM_ClusterMapIsReplacedByThoseWhoHaveSeenIt(t *testing.T) {
	m := tempMachine(t)
	defer m.discard()
	changed := m.store.MapChanged()
	if r := m.do(100, PutMap{Base: 1, Map: "x"})[0]; !errors.Is(r.Err, wire.ErrConflict) {
		t.Errorf("a map over none: %v", r.Err)
	}
	select {
	case <-changed:
		t.Error("told of a change that was refused")
	default:
	}
	results := m.do(101, PutMap{Base: 0, Map: "one"}, PutMap{Base: 0, Map: "late"}, PutMap{Base: 1, Map: "two"})
	if results[0].Version != 1 || !errors.Is(results[1].Err, wire.ErrConflict) || results[2].Version != 2 {
		t.Errorf("results %+v", results)
	}
	<-changed
	if version, body, err := m.store.ClusterMap(); version != 2 || string(body) != "two" || err != nil {
		t.Errorf("map %d %q, %v", version, body, err)
	}
	if r := m.do(102, PutMap{Base: 2, Map: string(make([]byte, wire.MaxMapBytes+1))})[0]; !errors.Is(r.Err, wire.ErrTooLarge) {
		t.Errorf("a map over the limit: %v", r.Err)
	}
}

func TestFSM_LeaseHasOneHolderAtATime(t *testing.T) {
	m := tempMachine(t)
	defer m.discard()
	take := func(now wire.Millis, holder string) Result {
		return m.do(now, TakeLease{Name: "feed/1", Holder: holder, For: 50})[0]
	}
	want := func(what string, r Result, holder string, epoch uint64, until wire.Millis, sentinel error) {
		t.Helper()
		if l := r.Lease; l.Holder != holder || l.Epoch != epoch || l.Until != until || !errors.Is(r.Err, sentinel) {
			t.Errorf("%s: %+v, %v", what, l, r.Err)
		}
	}
	want("free", take(100, "a"), "a", 1, 150, nil)
	want("held by another", take(120, "b"), "a", 1, 150, wire.ErrConflict)
	want("prolonged", take(140, "a"), "a", 1, 190, nil)
	want("held to its end", take(189, "b"), "a", 1, 190, wire.ErrConflict)
	want("ended", take(190, "b"), "b", 2, 240, nil)
	want("taken again after its end by the same", take(250, "b"), "b", 3, 300, nil)
	want("dropped by an old holder", m.do(260, DropLease{Name: "feed/1", Holder: "a", Epoch: 1})[0], "b", 3, 300, wire.ErrConflict)
	want("dropped", m.do(260, DropLease{Name: "feed/1", Holder: "b", Epoch: 3})[0], "", 3, 0, nil)
	want("free again", take(261, "a"), "a", 4, 311, nil)
	if l, err := m.store.Lease("feed/1"); l.Holder != "a" || l.Epoch != 4 || err != nil {
		t.Errorf("read %+v, %v", l, err)
	}
	if l, err := m.store.Lease("feed/2"); l.Holder != "" || err != nil {
		t.Errorf("read %+v, %v", l, err)
	}
	if r := m.do(300, TakeLease{Name: "", Holder: "a"})[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
		t.Errorf("no name: %v", r.Err)
	}
}

func TestStore_LeasesThatAreHeld(t *testing.T) {
	m := tempMachine(t)
	defer m.discard()
	for _, name := range []string{"a", "hub/1", "hub/2", "hub/3", "hub/3/x", "hubs"} {
		m.do(100, TakeLease{Name: name, Holder: "me", For: 50})
	}
	m.do(100, DropLease{Name: "hub/2", Holder: "me", Epoch: 1})
	for _, tt := range []struct {
		prefix string
		limit  int
		want   string
		more   bool
	}{
		{"hub/", 10, "hub/1 hub/3 hub/3/x", false},
		{"hub/", 3, "hub/1 hub/3 hub/3/x", false},
		{"hub/", 2, "hub/1 hub/3", true},
		{"", 10, "a hub/1 hub/3 hub/3/x hubs", false},
		{"hub/2", 10, "", false},
		{"z", 10, "", false},
	} {
		leases, more, err := m.store.Leases(tt.prefix, tt.limit)
		var names []string
		for _, l := range leases {
			names = append(names, l.Name)
		}
		if got := strings.Join(names, " "); got != tt.want || more != tt.more || err != nil {
			t.Errorf("%q, at most %d: %q, more %v, %v", tt.prefix, tt.limit, got, more, err)
		}
	}
}
