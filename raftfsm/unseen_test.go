package raftfsm

import (
	"errors"
	"fmt"
	"testing"
)

func TestUnseen_ForgetsNoneAndGuessesFew(t *testing.T) {
	var f filters
	const keys = 100_000
	wrong := 0
	for i := range keys {
		if f.has(fmt.Append(nil, "key", i)) {
			wrong++
		}
		f.add(fmt.Append(nil, "key", i))
	}
	for i := range keys {
		if !f.has(fmt.Append(nil, "key", i)) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	if len(f.all) < 3 || wrong > keys/20 {
		t.Fatalf("%d of %d new keys were taken for seen, in %d filters", wrong, keys, len(f.all))
	}
	for n := 0; len(f.all) < maxFilters || f.all[maxFilters-1].free > 0; n++ {
		if len(f.all) == maxFilters {
			f.all[maxFilters-1].free = 0
		} else {
			f.all = append(f.all, filter{blocks: make([][8]uint64, 1)})
		}
	}
	if f.add([]byte("one too many")); !f.has([]byte("one too many")) {
		t.Fatal("a key beyond the limit is forgotten")
	}
}

// TestUnseen_KnowsWhatWasThere repeats messages after a start, before and after all old ids are read.
func TestUnseen_KnowsWhatWasThere(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b"))
	const messages = 300
	for i := range messages {
		m.one(2, say("c", "a", fmt.Sprint(i), "text"))
	}
	for range 2 {
		if err := errors.Join(m.store.db.Flush(), m.store.Close()); err != nil {
			t.Fatal(err)
		}
		m.open()
		for i := range messages {
			if i == messages/2 {
				m.store.unseen.stopped.Wait()
			}
			if r := m.one(3, say("c", "a", fmt.Sprint(i), "text")); !r.Append.Replayed {
				t.Fatalf("message %d was stored again: %+v", i, r)
			}
		}
		if m.store.unseen.older.Load() == nil {
			t.Fatal("the old ids were not read")
		}
		if r := m.one(3, say("c", "b", "another", "text")); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}
