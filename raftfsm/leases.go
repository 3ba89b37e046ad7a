package raftfsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// leases are those that are held, decoded. They are few, prolonged all the time and listed by every delivery node: a walk over the table
// would pass all versions of each that Pebble still has in memory.
type leases struct {
	mu   sync.RWMutex
	held []wire.Lease // ascending by name
}

// load takes what is in the table.
func (l *leases) load(db *pebble.DB) error {
	from := []byte{tableLease}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from)})
	if err != nil {
		return err
	}
	var held []wire.Lease
	for ok := it.First(); ok; ok = it.Next() {
		name := string(it.Key()[1:])
		lease, err := decodeLease(name, it.Value())
		if err != nil {
			return errors.Join(fmt.Errorf("lease %s: %w", name, err), it.Close())
		}
		if lease.Holder != "" {
			held = append(held, lease)
		}
	}
	l.mu.Lock()
	l.held = held
	l.mu.Unlock()
	return it.Close()
}

// put takes what an entry made of some leases, in that order.
func (l *leases) put(changed []wire.Lease) {
	if len(changed) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changed {
		c.Name, c.Holder = strings.Clone(c.Name), strings.Clone(c.Holder) // the entry they came in is larger
		i, there := slices.BinarySearchFunc(l.held, c.Name, func(at wire.Lease, name string) int { return cmp.Compare(at.Name, name) })
		switch {
		case there && c.Holder == "":
			l.held = slices.Delete(l.held, i, i+1)
		case there:
			l.held[i] = c
		case c.Holder != "":
			l.held = slices.Insert(l.held, i, c)
		}
	}
}

// list gives those whose names begin with prefix, at most limit. more says that there are others.
func (l *leases) list(prefix string, limit int) (found []wire.Lease, more bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(l.held, prefix, func(at wire.Lease, prefix string) int { return cmp.Compare(at.Name, prefix) })
	for ; i < len(l.held) && strings.HasPrefix(l.held[i].Name, prefix); i++ {
		if len(found) == limit {
			return found, true
		}
		found = append(found, l.held[i])
	}
	return found, false
}

// Leases gives those that are held, ended or not, and whose names begin with prefix: ascending by name, at most limit. more
// says that there are others.
func (s *Store) Leases(prefix string, limit int) (found []wire.Lease, more bool, err error) {
	err = s.view(func(*pebble.DB) error {
		found, more = s.leases.list(prefix, limit)
		return nil
	})
	return found, more, err
}
