package wal

// pos says where a record is. It holds no pointer: there may be millions.
type pos struct {
	segment uint64 // its number
	off     uint32 // in the file, in units of align
	size    uint32 // of the whole record, in units of align
}

func at(segment uint64, off int64, size int) pos {
	return pos{segment: segment, off: uint32(off / align), size: uint32(size / align)}
}

func (p pos) offset() int64 { return int64(p.off) * align }

func (p pos) bytes() int64 { return int64(p.size) * align }

// index says where the entries of a group are. They follow each other without a hole.
type index struct {
	first uint64 // of the entries; without meaning where there are none
	at    []pos
}

func (x *index) empty() bool { return len(x.at) == 0 }

func (x *index) last() uint64 { return x.first + uint64(len(x.at)) - 1 }

// get is false where there is no such entry.
func (x *index) get(i uint64) (pos, bool) {
	if x.empty() || i < x.first || i > x.last() {
		return pos{}, false
	}
	return x.at[i-x.first], true
}

// add appends the entry i, which follows the last one.
func (x *index) add(i uint64, p pos) {
	if x.empty() {
		x.first = i
	}
	x.at = append(x.at, p)
}

// cut removes the entries from first to last, which begin or end the index, and calls gone for each.
func (x *index) cut(first, last uint64, gone func(pos)) {
	if x.empty() || last < x.first || first > x.last() {
		return
	}
	first, last = max(first, x.first), min(last, x.last())
	for _, p := range x.at[first-x.first : last-x.first+1] {
		gone(p)
	}
	if first > x.first {
		x.at = x.at[:first-x.first]
		return
	}
	x.at = x.at[last-x.first+1:]
	x.first = last + 1
}
