package wal

import (
	"fmt"
	"math"
)

// maxFrameBytes is how large a frame grows before the next one opens. One record may be larger.
const maxFrameBytes = 8 << 20

// One frame is written while the next one is filled: so many buffers are kept for others, and none that is larger.
const (
	keptBuffers = 3
	keptBuffer  = 4 << 20
)

// record is one to be written.
type record struct {
	recordHeader
	data, extensions []byte
}

// batch is a frame that is being filled, and who waits for it.
type batch struct {
	buf   []byte // begins with room for the header of the frame
	added []added
	sum   uint32
	done  chan struct{} // closed when the frame is synced, or err is set
	err   error
}

// added is a record of a batch: what it does once it is durable.
type added struct {
	recordHeader
	off int // in buf
}

// add encodes a record at the end of the batch.
func (b *batch) add(r record) {
	off := len(b.buf)
	var sum uint64
	b.buf, sum = appendRecord(b.buf, r.recordHeader, r.data, r.extensions)
	h := r.recordHeader
	h.length, h.extensions = uint32(len(r.data)), uint16(len(r.extensions))
	b.added = append(b.added, added{recordHeader: h, off: off})
	b.sum = addSum(b.sum, sum)
}

// open gives a batch that takes another size bytes, and whether it is new. Under the lock of mu.
func (l *Log) openBatch(size int) (b *batch, fresh bool) {
	if n := len(l.queue); n > 0 {
		if b = l.queue[n-1]; len(b.buf)+size <= maxFrameBytes {
			return b, false
		}
	}
	b = &batch{done: make(chan struct{})}
	if n := len(l.bufs); n > 0 {
		b.buf, l.bufs = l.bufs[n-1], l.bufs[:n-1]
	} else {
		b.buf = make([]byte, 0, max(size+frameHeaderSize, 16<<10))
	}
	b.buf = append(b.buf[:0], make([]byte, frameHeaderSize)...)
	l.queue = append(l.queue, b)
	return b, true
}

// append writes records and returns when they are durable. They are all in the log then, in this order; after an error
// some of them may be.
//
// Who opens a batch writes it, or one before it; who comes while a write is under way finds the next batch open and waits
// with it. So nobody waits for a clock, and a lone writer for no other goroutine.
func (l *Log) append(records []record) error {
	for i := range records {
		if r := &records[i]; len(r.data) > maxRecordBytes || len(r.extensions) > maxExtensions {
			return fmt.Errorf("%w: an entry of %d bytes with %d bytes of extensions", ErrOrder, len(r.data), len(r.extensions))
		}
	}
	l.mu.Lock()
	if l.closed || l.failed != nil {
		defer l.mu.Unlock()
		if l.failed != nil {
			return l.failed
		}
		return ErrClosed
	}
	var last *batch
	drives := false
	for _, r := range records {
		b, fresh := l.openBatch(recordHeaderSize + len(r.data) + len(r.extensions) + align)
		b.add(r)
		drives = drives || fresh
		last = b
	}
	l.mu.Unlock()
	if drives {
		l.drive(last)
	}
	<-last.done
	return last.err
}

// drive writes what is queued until b is done.
func (l *Log) drive(b *batch) {
	l.commit.Lock()
	defer l.commit.Unlock()
	for {
		select {
		case <-b.done:
			return
		default:
			l.commitOldest()
		}
	}
}

// frameBytes is what a frame with n bytes of records takes.
func frameBytes(n int) int64 { return int64(frameHeaderSize + n) }

// finish writes the header of the frame.
func (b *batch) finish(seq, salt uint64) {
	length := len(b.buf) - frameHeaderSize
	if length > math.MaxUint32 {
		panic("BUG: a frame of more than 4 GiB")
	}
	frameHeader{length: uint32(length), seq: seq, count: uint32(len(b.added)), sum: b.sum}.put(b.buf, salt)
}
