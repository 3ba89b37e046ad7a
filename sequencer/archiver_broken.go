package sequencer

import (
	"errors"
	"sync"

	"github.com/quorate/quorate/archive"
)

// brokenObjects are those of a group that the archiver found lost or other than they were written, by number. It leaves them alone: what
// can be read of them is read where they are, and a merge of the others goes on. A restart forgets them, and finds them again.
type brokenObjects struct {
	mu  sync.Mutex
	all map[uint64]string // keys
}

// maxBroken bounds how many are remembered.
const maxBroken = 4096

// isBroken reports whether an error says that an object is not what it was, rather than that it cannot be read now.
func isBroken(err error) bool {
	return errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrNotFound)
}

// add notes an object; it is false for one that is known.
func (b *brokenObjects) add(number uint64, key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.all[number]; known || len(b.all) >= maxBroken {
		return false
	}
	if b.all == nil {
		b.all = map[uint64]string{}
	}
	b.all[number] = key
	return true
}

func (b *brokenObjects) has(number uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.all[number]
	return known
}

func (b *brokenObjects) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}
