package delivery

import "sync"

const (
	// frameOverhead is what a queued frame counts for beside its bytes: its place in the queue. Without it a queue of tiny
	// frames would take several times its bound.
	frameOverhead = 32
	// segmentFrames makes a segment 512 bytes.
	segmentFrames = 21
)

// outbox is a connection's queue of encoded frames. The frames are shared between connections and never written to. It is a
// list of pooled segments, so that an empty outbox owns no memory. The bound is its owner's to keep. Not safe for concurrent
// use.
type outbox struct {
	first, last *segment
	at, end     uint16 // the first frame's place in first, and the place after the last frame's in last
	sent        uint32 // bytes of the first frame that are out
	cost        int    // bytes and overhead of all frames, the sent part of the first included
}

type segment struct {
	frames [segmentFrames][]byte
	next   *segment
}

var segments = sync.Pool{New: func() any { return new(segment) }}

// costOf is what the frames add to an outbox's cost.
func costOf(frames [][]byte) int {
	n := 0
	for _, f := range frames {
		n += len(f) + frameOverhead
	}
	return n
}

func (o *outbox) empty() bool { return o.first == nil }

// push adds a frame at the end. An empty frame is nothing.
func (o *outbox) push(frame []byte) {
	if len(frame) == 0 {
		return
	}
	if o.last == nil || o.end == segmentFrames {
		s := segments.Get().(*segment)
		if o.last == nil {
			o.first, o.at = s, 0
		} else {
			o.last.next = s
		}
		o.last, o.end = s, 0
	}
	o.last.frames[o.end] = frame
	o.end++
	o.cost += len(frame) + frameOverhead
}

// head is the unsent part of the first frame. The outbox must not be empty.
func (o *outbox) head() []byte { return o.first.frames[o.at][o.sent:] }

// peek puts the unsent bytes, frame by frame, into dst as far as it is long, and returns what it filled.
func (o *outbox) peek(dst [][]byte) [][]byte {
	n, at, skip := 0, o.at, o.sent
	for s := o.first; s != nil && n < len(dst); s, at = s.next, 0 {
		end := uint16(segmentFrames)
		if s == o.last {
			end = o.end
		}
		for ; at < end && n < len(dst); at++ {
			dst[n] = s.frames[at][skip:]
			skip = 0
			n++
		}
	}
	return dst[:n]
}

// consume takes n sent bytes off the front. More than there are is a BUG of the caller.
func (o *outbox) consume(n int) {
	for n > 0 {
		if o.empty() {
			panic("BUG: more bytes sent than were queued")
		}
		left := len(o.head())
		if n < left {
			o.sent += uint32(n)
			return
		}
		n -= left
		o.drop()
	}
}

// drop removes the first frame.
func (o *outbox) drop() {
	s := o.first
	o.cost -= len(s.frames[o.at]) + frameOverhead
	s.frames[o.at] = nil
	o.at++
	o.sent = 0
	if s == o.last && o.at == o.end {
		o.first, o.last = nil, nil
	} else if o.at == segmentFrames {
		o.first, o.at = s.next, 0
	} else {
		return
	}
	s.next = nil
	segments.Put(s)
}

// keepHead drops all frames but the first, which may be half sent.
func (o *outbox) keepHead() {
	if o.empty() {
		return
	}
	frame, sent := o.first.frames[o.at], o.sent
	o.clear()
	o.push(frame)
	o.sent = sent
}

// clear drops all frames.
func (o *outbox) clear() {
	for s := o.first; s != nil; {
		next := s.next
		*s = segment{}
		segments.Put(s)
		s = next
	}
	*o = outbox{}
}
