package raftfsm

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// unseen knows of most clientMessageIds that come for the first time that they do, without asking the database: looking up
// what is not there was a third of the work of an append. It holds a hash of every dedup record, in filters that may take
// an id for seen that is not, and never the other way round. What it answers changes how fast an entry is applied, never
// what the entry does.
type unseen struct {
	recent filters                 // of records written since the store was opened; the apply goroutine's alone
	older  atomic.Pointer[filters] // of those that were there; nil until all of them are read, or when they are too many

	stop    chan struct{}
	stopped sync.WaitGroup
}

// newUnseen begins to read the ids that db holds. close must come before db is closed.
func newUnseen(db *pebble.DB) (*unseen, error) {
	u := &unseen{stop: make(chan struct{})}
	records, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableDedup}, UpperBound: []byte{tableDedup + 1}})
	if err != nil {
		return nil, err
	}
	if !records.First() {
		u.older.Store(&filters{})
		return u, records.Close()
	}
	u.stopped.Go(func() {
		var older filters
		if complete := u.read(records, &older); complete && records.Close() == nil {
			u.older.Store(&older)
		}
	})
	return u, nil
}

// read fills older; it is false where it must not be used.
func (u *unseen) read(records *pebble.Iterator, older *filters) bool {
	for ok := records.Valid(); ok; ok = records.Next() {
		select {
		case <-u.stop:
			_ = records.Close()
			return false
		default:
			older.add(records.Key())
		}
	}
	if records.Error() != nil { // whoever looks the record up is told
		_ = records.Close()
		return false
	}
	return true
}

// has is false where no record with this key was ever written. The apply goroutine's alone, as add.
func (u *unseen) has(key []byte) bool {
	older := u.older.Load()
	return older == nil || older.has(key) || u.recent.has(key)
}

func (u *unseen) add(key []byte) { u.recent.add(key) }

// close ends the reading.
func (u *unseen) close() {
	close(u.stop)
	u.stopped.Wait()
}

const (
	firstFilter = 16 << 10 // keys of the first filter; each next one has twice as many
	lastFilter  = 1 << 20  // and at most so many: 1.25 MiB
	maxFilters  = 24       // some 17 million keys; with more, everything is looked up
)

// filterSeed makes it hard to choose ids that look seen. It differs from process to process: no state depends on it.
var filterSeed = maphash.MakeSeed()

// filters grow by one more filter when the last one is full.
type filters struct {
	all []filter
}

func (f *filters) add(key []byte) {
	n := len(f.all)
	if n == 0 || f.all[n-1].free == 0 {
		if n == maxFilters {
			return // has says so
		}
		size := firstFilter
		if n > 0 {
			size = min(2*len(f.all[n-1].blocks)*keysPerBlock, lastFilter)
		}
		f.all = append(f.all, newFilter(size))
		n++
	}
	f.all[n-1].add(maphash.Bytes(filterSeed, key))
}

func (f *filters) has(key []byte) bool {
	n := len(f.all)
	if n == maxFilters && f.all[n-1].free == 0 {
		return true
	}
	h := maphash.Bytes(filterSeed, key)
	for i := range f.all {
		if f.all[i].has(h) {
			return true
		}
	}
	return false
}

// filter is a Bloom filter in which a key's six bits are in one block, so that a look-up touches one line of cache.
type filter struct {
	blocks [][8]uint64
	free   int // keys that it has room for
}

// keysPerBlock gives a key about ten bits, and one false answer in a hundred.
const keysPerBlock = 50

func newFilter(keys int) filter {
	blocks := max((keys+keysPerBlock-1)/keysPerBlock, 1)
	return filter{blocks: make([][8]uint64, blocks), free: blocks * keysPerBlock}
}

// block gives the block of a key; the low bits of h are left for the bits in it.
func (f *filter) block(h uint64) *[8]uint64 {
	i, _ := bits.Mul64(h, uint64(len(f.blocks)))
	return &f.blocks[i]
}

func (f *filter) add(h uint64) {
	f.free--
	b := f.block(h)
	for s := h * 0x9e3779b97f4a7c15; s>>10 != 0; s >>= 9 {
		b[s&7] |= 1 << (s >> 3 & 63)
	}
}

func (f *filter) has(h uint64) bool {
	b := f.block(h)
	for s := h * 0x9e3779b97f4a7c15; s>>10 != 0; s >>= 9 {
		if b[s&7]&(1<<(s>>3&63)) == 0 {
			return false
		}
	}
	return true
}
