package notify

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// keeper looks after the messages of one group, while this node has the lease for that. All of its state belongs to the goroutine of run;
// look-ups and sends are done by others, who post what came of them.
type keeper struct {
	group  wire.GroupID
	shared *shared
	limits *Limits
	log    *slog.Logger
	pages  chan page
	posts  chan func()
	gone   chan struct{} // closed when run is over: nobody takes posts any more
	worker context.Context
	wg     sync.WaitGroup // those who look up

	chats     map[string]*chat
	idle      list.List // of *chat that are only remembered, the one that was busy last in front
	members   int       // marks of all chats
	busyChats int
	notices   map[noticeKey]*notice
	ledger    ledger
	alarms    alarms
	lookups   int
	waiting   []func(context.Context) func() // look-ups that are to be begun
	sending   int

	next       wire.Offset // all before it has been read
	committed  wire.Offset
	committing bool
	caughtUp   time.Time // all events before were read then; zero while the feed is being caught up with
}

// page is what one read of the feed brought.
type page struct {
	events []wire.Event
	next   wire.Offset
	whole  bool      // the feed had no more
	at     time.Time // of the answer
}

// shared is what the keepers of a node have in common.
type shared struct {
	cfg    *Config
	limits Limits
	seq    sequencers
	lanes  map[wire.Platform]*lane
	stats  *stats
	log    *slog.Logger

	outdated atomic.Bool // the cluster was restored from a backup: offsets of this notifier are of another one's feeds
}

func newKeeper(s *shared, g wire.GroupID, next wire.Offset) *keeper {
	return &keeper{
		group: g, shared: s, limits: &s.limits, log: s.log.With("group", g), pages: make(chan page), posts: make(chan func()),
		gone: make(chan struct{}), chats: map[string]*chat{}, notices: map[noticeKey]*notice{}, next: next, committed: next,
	}
}

// run goes on until ctx ends; then it lets what is under way end, for a while, and commits how far it has come.
func (k *keeper) run(ctx context.Context) {
	worker, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer k.wg.Wait()
	defer stop()
	defer close(k.gone)
	defer k.leave()
	k.worker = worker
	clock := time.NewTimer(0)
	defer clock.Stop()
	k.measure()
	k.alarms.set(time.Now().Add(k.limits.CommitEvery), k.tick)
	for ctx.Err() == nil {
		clock.Reset(k.alarms.ring(time.Now()))
		k.begin()
		pages := k.pages
		if k.full() {
			pages = nil
		}
		select {
		case p := <-pages:
			k.read(p)
		case do := <-k.posts:
			do()
		case <-clock.C:
		case <-ctx.Done():
		}
	}
	k.end()
}

// end waits for what is under way and commits.
func (k *keeper) end() {
	over := time.NewTimer(k.limits.StopTime)
	defer over.Stop()
	k.waiting = nil
	for k.lookups+k.sending > 0 || k.committing {
		select {
		case do := <-k.posts:
			do()
			k.waiting = nil
		case <-over.C:
			return
		}
	}
	if to := k.done(); to > k.committed && !k.shared.outdated.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), k.limits.LookupTime)
		defer cancel()
		if err := k.shared.seq.CommitFeed(ctx, k.group, consumer, to); err != nil {
			k.log.Warn("how far messages were looked after could not be committed", "err", err)
		}
	}
}

// leave takes what is held out of the counts of the node.
func (k *keeper) leave() {
	st := k.shared.stats
	st.chats.Add(-int64(k.busyChats))
	st.notices.Add(-int64(len(k.notices)))
	st.group(k.group).clear()
}

// post hands what came of a look-up or a send to the keeper, unless it has ended.
func (k *keeper) post(do func()) {
	select {
	case k.posts <- do:
	case <-k.gone:
	}
}

// full tells whether the feed may not be read at present: too much waits. Nothing is lost by that.
func (k *keeper) full() bool {
	return k.busyChats >= k.limits.Chats || len(k.notices) >= k.limits.Notices
}

// tick commits from time to time.
func (k *keeper) tick() {
	k.alarms.set(time.Now().Add(k.limits.CommitEvery), k.tick)
	k.measure()
	to := k.done()
	if k.committing || to <= k.committed || k.shared.outdated.Load() {
		return
	}
	k.committing = true
	k.wg.Go(func() {
		ctx, cancel := context.WithTimeout(k.worker, k.limits.LookupTime)
		defer cancel()
		err := k.shared.seq.CommitFeed(ctx, k.group, consumer, to)
		k.post(func() {
			k.committing = false
			if err == nil {
				k.committed = max(k.committed, to)
			} else {
				k.log.Debug("an offset could not be committed yet", "err", err)
			}
		})
	})
}

// done is the offset before which everything is done with.
func (k *keeper) done() wire.Offset {
	if first := k.ledger.first(); first != nil {
		return first.offset
	}
	return k.next
}

// measure shows how far behind the group is.
func (k *keeper) measure() {
	g := k.shared.stats.group(k.group)
	g.next.Store(uint64(k.next))
	g.committed.Store(uint64(k.done()))
	g.held.Store(true)
	oldest := int64(0)
	if first := k.ledger.first(); first != nil {
		oldest = int64(first.sentAt)
	}
	g.oldest.Store(oldest)
}

// read takes what the feed tells.
func (k *keeper) read(p page) {
	now := time.Now()
	for i := range p.events {
		k.event(&p.events[i], now)
	}
	k.shared.stats.events.Add(uint64(len(p.events)))
	k.next = p.next
	if p.whole {
		k.caughtUp = p.at
	}
}

func (k *keeper) event(ev *wire.Event, now time.Time) {
	c := k.chats[ev.ChatID]
	switch ev.Kind {
	case wire.EventMessage:
		k.message(c, ev, now)
	case wire.EventReceipt:
		if c != nil {
			k.receipt(c, ev.Marks)
		}
	case wire.EventMembers, wire.EventChat:
		if c != nil {
			c.known, c.missed = false, c.looking
		}
	}
}

// receipt takes a rise. A notice that is about nothing else any more is over.
func (k *keeper) receipt(c *chat, w *wire.Watermarks) {
	c.receipt(w)
	if c.notices > 0 {
		if o := k.notices[noticeKey{c.id, w.UserID}]; o != nil && c.delivered(w.UserID) >= o.seq {
			k.pursue(o)
		}
	}
}

// message has a message looked after when its grace is over.
func (k *keeper) message(c *chat, ev *wire.Event, now time.Time) {
	m := ev.Message
	if now.Sub(time.UnixMilli(int64(m.SentAt))) > k.limits.GiveUp {
		k.shared.stats.gaveUp.Add(1)
		return
	}
	if c == nil {
		c = &chat{id: ev.ChatID}
		k.chats[c.id] = c
	}
	was := c.busy()
	if s := c.add(m, k.due(ev.At, now), k.limits.Grace/10, k.limits.TextBytes); s != nil {
		s.entry = k.ledger.add(ev.Offset, m.SentAt)
	}
	k.changed(c, was)
	k.await(c)
}

// due is when the grace of a message is over. It begins when the message was stored, by the leader's clock; as that may be ahead or
// behind, it begins no later than now, and no earlier than all before was read.
func (k *keeper) due(at wire.Millis, now time.Time) time.Time {
	stored := time.UnixMilli(int64(at))
	if stored.Before(k.caughtUp) {
		stored = k.caughtUp
	}
	if stored.After(now) {
		stored = now
	}
	return stored.Add(k.limits.Grace)
}

// await sets the chat's alarm for its first step.
func (k *keeper) await(c *chat) {
	if c.alarm == nil && !c.looking && len(c.steps) > 0 {
		c.alarm = k.alarms.set(c.steps[0].due, func() {
			c.alarm = nil
			k.look(c)
		})
	}
}

// look finds out who has not got the messages whose grace is over: from what the feed told, and otherwise from the chat's leader, to be sure.
func (k *keeper) look(c *chat) {
	n := c.due(time.Now())
	if n == 0 || c.reached(c.steps[:n]) {
		k.looked(c, n)
		return
	}
	c.looking = true
	k.shared.stats.looks.Add(1)
	k.lookUp(func(ctx context.Context) func() {
		marks, err := k.shared.seq.Receipts(ctx, c.id, 0, "")
		return func() { k.judge(c, marks, err) }
	})
}

// judge has the members told who have not got what they ought to have by now.
func (k *keeper) judge(c *chat, marks []wire.Watermarks, err error) {
	was := c.busy()
	c.looking = false
	switch {
	case errors.Is(err, wire.ErrNoChat):
		marks = nil
	case err != nil:
		c.failed++
		k.shared.stats.lookFailures.Add(1)
		k.changed(c, was)
		c.alarm = k.alarms.set(time.Now().Add(backoff(c.failed-1, k.limits.RetryMost)), func() {
			c.alarm = nil
			k.look(c)
		})
		return
	}
	c.failed = 0
	k.members -= len(c.marks)
	c.learn(marks)
	k.members += len(c.marks)
	n := c.due(time.Now())
	for i := range c.marks {
		if owed := c.marks[i].owed(c.steps[:n]); owed != nil {
			k.notify(c, &c.marks[i], owed)
		}
	}
	k.looked(c, n)
}

// looked is done with the first steps of a chat.
func (k *keeper) looked(c *chat, n int) {
	was := c.busy()
	for i := range c.steps[:n] {
		k.ledger.done(c.steps[i].entry)
		c.steps[i] = step{}
	}
	c.steps = c.steps[n:]
	if len(c.steps) == 0 {
		c.steps = nil
	}
	k.changed(c, was)
	k.await(c)
}

// changed keeps count of what is busy, and forgets chats that were idle longest where there are too many members.
func (k *keeper) changed(c *chat, was bool) {
	switch is := c.busy(); {
	case is && c.place != nil:
		k.idle.Remove(c.place)
		c.place = nil
		fallthrough
	case is && !was:
		k.busyChats++
		k.shared.stats.chats.Add(1)
	case was && !is:
		k.busyChats--
		k.shared.stats.chats.Add(-1)
		c.last.text, c.other.text = "", ""
		c.place = k.idle.PushFront(c)
	}
	for k.members+k.idle.Len() > k.limits.Members && k.idle.Len() > 0 {
		old := k.idle.Remove(k.idle.Back()).(*chat)
		k.members -= len(old.marks)
		delete(k.chats, old.id)
	}
}

// lookUp does something at the sequencers, when its turn comes. What it returns is done by the keeper.
func (k *keeper) lookUp(do func(context.Context) func()) { k.waiting = append(k.waiting, do) }

// begin begins the look-ups that there is room for.
func (k *keeper) begin() {
	for len(k.waiting) > 0 && k.lookups < k.limits.Lookups {
		do := k.waiting[0]
		k.waiting[0] = nil
		if k.waiting = k.waiting[1:]; len(k.waiting) == 0 {
			k.waiting = nil
		}
		k.lookups++
		k.wg.Go(func() {
			ctx, cancel := context.WithTimeout(k.worker, k.limits.LookupTime)
			defer cancel()
			then := do(ctx)
			k.post(func() {
				k.lookups--
				then()
			})
		})
	}
}
