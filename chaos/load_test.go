//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	chatCount = 50
	senders   = 5
	offered   = 250              // messages a second
	reads     = 50               // a second
	enough    = 200              // acknowledgements a second before a fault, or the run says nothing
	sendTime  = 10 * time.Second // for one call, in which the client tries again by itself
)

// load offers messages at a steady rate, whatever becomes of them: each chat gets its share, each message is offered
// until it is acknowledged, and some once more after that. Meanwhile chats are read.
type load struct {
	t       *testing.T
	client  *wire.Client
	record  *sequencertest.Record
	chats   []string
	groupOf map[string]int
	began   time.Time

	stop   chan struct{}   // nil while it is halted
	ctx    context.Context // ends when it is abandoned
	cancel context.CancelFunc
	next   int                 // number of the next message; of run alone while that runs
	seen   map[string]wire.Seq // where to read on; of read alone while that runs
	ticker sync.WaitGroup
	sends  sync.WaitGroup

	mu       sync.Mutex
	acks     [][]time.Duration // since began, by group, in the order of time
	refusals int               // calls that came back without an ack, and were made again
}

// startLoad makes chats, the same number in each group, and begins. It ends with the test at the latest.
func startLoad(c *cluster) *load {
	c.t.Helper()
	l := &load{
		t: c.t, client: newClient(c.t, c.addrs(), c.setup.dial), record: sequencertest.NewRecord(), groupOf: map[string]int{},
		seen:  map[string]wire.Seq{},
		began: time.Now(), acks: make([][]time.Duration, c.setup.groups),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	inGroup := make([]int, c.setup.groups)
	for i := 0; len(l.chats) < chatCount; i++ {
		chat := fmt.Sprintf("chat-%d", i)
		g := int(wire.GroupOf(wire.SlotOf(chat), c.setup.groups))
		if inGroup[g]*c.setup.groups < chatCount {
			inGroup[g]++
			l.chats, l.groupOf[chat] = append(l.chats, chat), g
		}
	}
	sequencertest.MakeChats(c.t, c.client, sequencertest.Names("user", senders), l.chats...)
	l.resume()
	c.t.Cleanup(l.halt)
	return l
}

// resume begins, or begins again after halt.
func (l *load) resume() {
	l.stop = make(chan struct{})
	l.ticker.Add(2)
	go l.run(l.stop)
	go l.read(l.stop)
}

func (l *load) run(stop chan struct{}) {
	defer l.ticker.Done()
	tick := time.NewTicker(time.Second / offered)
	defer tick.Stop()
	for ; ; l.next++ {
		select {
		case <-stop:
			return
		case <-tick.C:
			l.sends.Add(1)
			go l.send(l.next)
		}
	}
}

// read reads what comes, chat by chat.
func (l *load) read(stop chan struct{}) {
	defer l.ticker.Done()
	tick := time.NewTicker(time.Second / reads)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
			chat := l.chats[n%len(l.chats)]
			l.seen[chat] = sequencertest.ReadOnce(l.client, l.record, chat, max(1, l.seen[chat]))
		}
	}
}

// halt ends the load, after every message that was begun has been acknowledged.
func (l *load) halt() {
	if l.stop != nil {
		close(l.stop)
		l.stop = nil
	}
	l.ticker.Wait()
	l.sends.Wait()
}

// abandon ends the load and leaves open what has become of the messages that are under way.
func (l *load) abandon() {
	l.cancel()
	l.halt()
}

func (l *load) send(n int) {
	defer l.sends.Done()
	q := l.request(n)
	l.record.Begin(q.ChatID, q.SenderID, q.ClientMessageID, q.Text)
	if l.offer(q) && n%16 == 0 {
		l.offer(q) // the answer must be the same
	}
}

// request is message n.
func (l *load) request(n int) wire.AppendRequest {
	chat := l.chats[n%len(l.chats)]
	return wire.AppendRequest{
		ChatID: chat, SenderID: fmt.Sprintf("user-%d", 1+n%senders), ClientMessageID: fmt.Sprintf("m-%d", n),
		Text: fmt.Sprintf("message %d to %s", n, chat),
	}
}

// offer makes calls until one is acknowledged; it is false where that took too long, which fails the test.
func (l *load) offer(q wire.AppendRequest) bool {
	for deadline := time.Now().Add(2 * settle); ; {
		ctx, cancel := context.WithTimeout(l.ctx, sendTime)
		ack, err := l.client.Append(ctx, q)
		cancel()
		if err == nil {
			l.record.Acked(q.ChatID, q.SenderID, q.ClientMessageID, ack.Seq, ack.Lamport)
			l.acked(l.groupOf[q.ChatID])
			return true
		}
		if l.ctx.Err() != nil {
			return false // nobody waits for it
		}
		if !wire.Temporary(err) || errors.Is(err, wire.ErrClosed) || time.Now().After(deadline) {
			l.t.Errorf("%s: append %s: %v", q.ChatID, q.ClientMessageID, err)
			return false
		}
		l.mu.Lock()
		l.refusals++
		l.mu.Unlock()
		time.Sleep(20 * time.Millisecond) // a breaker that is open answers at once
	}
}

func (l *load) acked(group int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks[group] = append(l.acks[group], l.now())
}

// now is the load's clock.
func (l *load) now() time.Duration { return time.Since(l.began) }

// refused gives the number of calls that came back without an ack so far.
func (l *load) refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusals
}

// since counts the acks of a group from a time on.
func (l *load) since(group int, from time.Duration) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	acks := l.acks[group]
	for i := len(acks) - 1; i >= 0 && acks[i] >= from; i-- {
		n++
	}
	return n
}

// awaitRate waits until the cluster has acknowledged enough for a second: a fault that hits an idle cluster shows nothing.
func (l *load) awaitRate() {
	l.t.Helper()
	await(l.t, fmt.Sprintf("%d acknowledgements in a second", enough), func() bool {
		n, from := 0, l.now()-time.Second
		for g := range l.acks {
			n += l.since(g, from)
		}
		return n >= enough
	})
}

// awaitAll waits until every group has acknowledged n messages from now on.
func (l *load) awaitAll(n int) {
	l.t.Helper()
	from := l.now()
	await(l.t, "every group to acknowledge messages", func() bool {
		for g := range l.acks {
			if l.since(g, from) < n {
				return false
			}
		}
		return true
	})
}

// gap is the longest time in which no message of a group was acknowledged, between two times, and when it began. It counts
// from the last acknowledgement before the first of these.
func (l *load) gap(group int, from, to time.Duration) (gap, began time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return longestGap(l.acks[group], from, to)
}

// longestGap is the longest time between two of the ascending acks, of those pairs that overlap [from, to].
func longestGap(acks []time.Duration, from, to time.Duration) (longest, began time.Duration) {
	first, _ := slices.BinarySearch(acks, from+1)
	last := from
	if first > 0 {
		last = acks[first-1]
	}
	for _, at := range append(acks[first:len(acks):len(acks)], to) {
		if at-last > longest {
			longest, began = at-last, last
		}
		if at >= to {
			break
		}
		last = at
	}
	return longest, began
}
