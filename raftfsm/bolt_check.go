package raftfsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// bbolt trusts its pages: one that is broken makes it panic, in part on goroutines that nobody can guard, or walk in
// circles. checkBolt reads a file before bbolt does, with the same rules, and gives an error instead. It looks at
// structure only; what is in the values is the business of checkedLog and checkedStable.

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltPageHead   = 16      // id, flags, count, overflow
	boltMetaLen    = 64      // behind the page's head; the last 8 bytes are the checksum
	boltBucketLen  = 16      // root page, sequence
	boltElementLen = 16      // of branch and leaf pages alike
	boltMaxDepth   = 64      // far more than a tree of pages can have
	boltMaxPage    = 1 << 16 // bytes
	boltBranch     = 1
	boltLeaf       = 2
	boltMetaFlag   = 4
	boltIsBucket   = 1 // flag of a leaf's element
)

// boltFile is a file that is checked.
type boltFile struct {
	r     io.ReaderAt
	size  int64  // of the file
	page  int64  // bytes of a page
	pages uint64 // in use by the newest transaction
	root  uint64
	txid  uint64
	seen  map[uint64]bool
	prev  []byte // the last leaf key, of the bucket that is walked

	inside bool     // a bucket is walked, not the root
	names  []string // of the buckets
}

// boltBuckets are the buckets of a file, which raft-boltdb makes with one transaction. One that is missing it would make anew: a log whose name
// is broken would be an empty one.
var boltBuckets = []string{"conf", "logs"}

// checkBolt checks the structure of the bbolt file at path. A file that is not there or empty is one that bbolt makes.
func checkBolt(path string) (err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if err := checkBoltPages(f, info.Size()); err != nil {
		return corrupt(path, err)
	}
	return nil
}

func checkBoltPages(r io.ReaderAt, size int64) error {
	b := &boltFile{r: r, size: size, seen: map[uint64]bool{}}
	if err := b.metas(); err != nil {
		return err
	}
	if b.pages > uint64(size/b.page) {
		return fmt.Errorf("%d pages in use, the file has %d", b.pages, size/b.page)
	}
	if err := b.walk(b.root, nil, nil, 0); err != nil {
		return err
	}
	if len(b.names) > 0 && !slices.Equal(b.names, boltBuckets) {
		return fmt.Errorf("buckets %q", b.names)
	}
	return nil
}

// metas reads both meta pages. Each holds a checksum; bbolt would pass over a broken one and take the older, and with it
// the state before the last write. A page is written at once and its 80 bytes lie in one sector, so that no crash breaks one.
func (b *boltFile) metas() error {
	var head [boltPageHead + boltMetaLen]byte
	for i := range int64(2) {
		if _, err := b.r.ReadAt(head[:], i*b.page); err != nil {
			return fmt.Errorf("meta page %d: %w", i, err)
		}
		meta := head[boltPageHead:]
		u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:boltMetaLen-8])
		switch {
		case u32(meta) != boltMagic || u64(meta[boltMetaLen-8:]) != sum.Sum64():
			return fmt.Errorf("meta page %d does not fit its checksum", i)
		case u32(meta[4:]) != boltVersion:
			return fmt.Errorf("meta page %d has version %d", i, u32(meta[4:]))
		}
		b.page = int64(u32(meta[8:]))
		if b.page < 512 || b.page > boltMaxPage {
			return fmt.Errorf("pages of %d bytes", b.page)
		}
		if txid := u64(meta[48:]); txid >= b.txid {
			b.root, b.pages, b.txid = u64(meta[16:]), u64(meta[40:]), txid
		}
	}
	return nil
}

// read gives a page with its overflow.
func (b *boltFile) read(id uint64) ([]byte, error) {
	if id < 2 || id >= b.pages || b.seen[id] {
		return nil, fmt.Errorf("page %d is referred to, and is not there or in use", id)
	}
	var head [boltPageHead]byte
	if _, err := b.r.ReadAt(head[:], int64(id)*b.page); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.LittleEndian.Uint32(head[12:]))
	if binary.LittleEndian.Uint64(head[:]) != id || id+overflow >= b.pages {
		return nil, fmt.Errorf("page %d has a broken head", id)
	}
	for i := id; i <= id+overflow; i++ {
		if b.seen[i] {
			return nil, fmt.Errorf("page %d is in use twice", i)
		}
		b.seen[i] = true
	}
	page := make([]byte, int64(overflow+1)*b.page)
	if _, err := b.r.ReadAt(page, int64(id)*b.page); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return page, nil
}

// walk checks a page and what is below it; its keys must be low or more, and less than high where that is not nil.
func (b *boltFile) walk(id uint64, low, high []byte, depth int) error {
	page, err := b.read(id)
	if err == nil {
		err = b.elements(page, low, high, depth)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (b *boltFile) elements(page, low, high []byte, depth int) error {
	flags, count := binary.LittleEndian.Uint16(page[8:]), int(binary.LittleEndian.Uint16(page[10:]))
	switch {
	case depth > boltMaxDepth:
		return errors.New("the tree is too deep")
	case flags != boltBranch && flags != boltLeaf:
		return fmt.Errorf("flags %#x", flags)
	case flags == boltBranch && count == 0, boltPageHead+count*boltElementLen > len(page):
		return fmt.Errorf("%d elements", count)
	}
	for i := range count {
		key, value, child, err := element(page, i, flags)
		if err != nil {
			return err
		}
		if bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("element %d is out of its place", i)
		}
		if flags == boltLeaf {
			if err := b.leaf(key, value, child, depth); err != nil {
				return err
			}
			continue
		}
		below := high
		if i+1 < count {
			if below, _, _, err = element(page, i+1, flags); err != nil {
				return err
			}
		}
		if err := b.walk(child, key, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks one key of a bucket, and the bucket in it where it is one.
func (b *boltFile) leaf(key, value []byte, flags uint64, depth int) error {
	if b.prev != nil && bytes.Compare(key, b.prev) <= 0 {
		return errors.New("keys are out of order")
	}
	b.prev = append([]byte{}, key...)
	switch {
	case flags == 0 && b.inside:
		return nil
	case flags != boltIsBucket || b.inside || len(value) < boltBucketLen:
		return fmt.Errorf("element flags %#x", flags)
	}
	b.names = append(b.names, string(key))
	outer := b.prev
	defer func() { b.prev, b.inside = outer, false }()
	b.prev, b.inside = nil, true
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return b.walk(root, nil, nil, depth+1)
	}
	if inline := value[boltBucketLen:]; len(inline) >= boltPageHead {
		return b.elements(inline, nil, nil, depth+1)
	}
	return errors.New("an inline bucket is cut")
}

// element gives the i-th key of a page, with the child page of a branch or the value and flags of a leaf.
func element(page []byte, i int, flags uint16) (key, value []byte, childOrFlags uint64, err error) {
	at := boltPageHead + i*boltElementLen
	e := page[at : at+boltElementLen]
	u32 := func(off int) uint64 { return uint64(binary.LittleEndian.Uint32(e[off:])) }
	var from, keyLen, valueLen uint64
	if flags == boltBranch {
		from, keyLen, childOrFlags = u32(0), u32(4), binary.LittleEndian.Uint64(e[8:])
	} else {
		childOrFlags, from, keyLen, valueLen = u32(0), u32(4), u32(8), u32(12)
	}
	from += uint64(at)
	if keyLen == 0 || from+keyLen+valueLen > uint64(len(page)) {
		return nil, nil, 0, fmt.Errorf("element %d leads out of its page", i)
	}
	return page[from : from+keyLen], page[from+keyLen : from+keyLen+valueLen], childOrFlags, nil
}
