package raftfsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/sequencer/wire"
)

// putMap replaces the cluster map where it is still the one that the caller has seen. What the map says is the business of
// those who write it: nodes of two versions, which may see it differently, still hold the same bytes.
func (t *txn) putMap(c PutMap) Result {
	var version uint64
	t.key = append(t.key[:0], tableMap)
	if b, ok := t.get(t.key); ok {
		d := openRecord(b)
		version = d.uvarint()
		if d.err != nil {
			t.fail("the cluster map", d.err)
		}
	}
	switch {
	case c.Base != version:
		return Result{Err: fmt.Errorf("%w: the cluster map is at version %d, not %d", wire.ErrConflict, version, c.Base)}
	case len(c.Map) > wire.MaxMapBytes:
		return Result{Err: fmt.Errorf("%w: a cluster map of %d bytes", wire.ErrTooLarge, len(c.Map))}
	}
	t.val = binary.AppendUvarint(newRecord(t.val[:0]), version+1)
	t.val = appendString(t.val, c.Map)
	t.key = append(t.key[:0], tableMap)
	t.putSeen(t.key, t.val)
	t.mapped = true
	return Result{Version: version + 1}
}

// takeLease gives a lease to whoever asks while it is free, his already, or past its end.
func (t *txn) takeLease(c TakeLease) Result {
	if err := checkIDs(c.Name, c.Holder); err != nil {
		return Result{Err: err}
	}
	l := t.lease(c.Name)
	if l.Holder != "" && l.Holder != c.Holder && l.Until > t.now {
		return Result{Lease: l, Err: fmt.Errorf("%w: %s holds the lease", wire.ErrConflict, l.Holder)}
	}
	if l.Holder != c.Holder || l.Until <= t.now {
		l.Epoch++
	}
	l.Holder, l.Until = c.Holder, t.now+c.For
	t.putLease(l)
	return Result{Lease: l}
}

// dropLease frees a lease. One that somebody else has taken meanwhile stays with him.
func (t *txn) dropLease(c DropLease) Result {
	if err := checkIDs(c.Name, c.Holder); err != nil {
		return Result{Err: err}
	}
	l := t.lease(c.Name)
	if l.Holder != c.Holder || l.Epoch != c.Epoch {
		return Result{Lease: l, Err: fmt.Errorf("%w: the lease has another holder", wire.ErrConflict)}
	}
	l.Holder, l.Until = "", 0
	t.putLease(l)
	return Result{Lease: l}
}

func (t *txn) lease(name string) wire.Lease {
	t.key = key1(t.key[:0], tableLease, name)
	b, ok := t.get(t.key)
	if !ok {
		return wire.Lease{Name: name}
	}
	l, err := decodeLease(name, b)
	if err != nil {
		t.fail("lease "+name, err)
	}
	return l
}

func (t *txn) putLease(l wire.Lease) {
	t.key = key1(t.key[:0], tableLease, l.Name)
	t.val = appendLease(t.val[:0], l)
	t.putSeen(t.key, t.val)
	t.leases = append(t.leases, l)
}

func appendLease(dst []byte, l wire.Lease) []byte {
	dst = appendString(newRecord(dst), l.Holder)
	dst = binary.AppendUvarint(dst, l.Epoch)
	return binary.AppendUvarint(dst, uint64(l.Until))
}

func decodeLease(name string, b []byte) (wire.Lease, error) {
	d := openRecord(b)
	l := wire.Lease{Name: name, Holder: d.string(), Epoch: d.uvarint(), Until: d.millis()}
	return l, d.end()
}

// ClusterMap gives the cluster map and its version, 0 where there is none yet. Only the meta group has one.
func (s *Store) ClusterMap() (version uint64, body []byte, err error) {
	err = s.view(func(db *pebble.DB) error {
		version, body = 0, nil
		b, closer, err := db.Get([]byte{tableMap})
		if err == pebble.ErrNotFound { //nolint:errorlint // pebble returns it as it is
			return nil
		}
		if err != nil {
			return err
		}
		d := openRecord(b)
		version = d.uvarint()
		body = []byte(d.string())
		if err := closer.Close(); err != nil {
			return err
		}
		return d.end()
	})
	return version, body, err
}

// MapChanged gives a channel that closes when ClusterMap may answer otherwise than now.
func (s *Store) MapChanged() <-chan struct{} { return s.mapChange.next() }

// Lease gives a lease as it stands. Whether it has ended is for the reader's clock to say.
func (s *Store) Lease(name string) (l wire.Lease, err error) {
	err = s.view(func(db *pebble.DB) error {
		b, closer, err := db.Get(key1(nil, tableLease, name))
		if err == pebble.ErrNotFound { //nolint:errorlint // pebble returns it as it is
			l = wire.Lease{Name: name}
			return nil
		}
		if err != nil {
			return err
		}
		if l, err = decodeLease(name, b); err != nil {
			_ = closer.Close()
			return err
		}
		return closer.Close()
	})
	return l, err
}
