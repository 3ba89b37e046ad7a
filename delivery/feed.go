package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// feeds reads the feed of every group, each in its own goroutine, from any replica. The feed is the same on all replicas, so
// a reader that changes the replica goes on at its offset.
type feeds struct {
	srv        *Server
	positioned chan struct{} // closed when every group has a position: sessions may be admitted
	wg         sync.WaitGroup
	late       atomic.Int64 // readers that cannot read at present
}

func newFeeds(srv *Server) *feeds {
	return &feeds{srv: srv, positioned: make(chan struct{})}
}

// open starts the readers; they end with ctx.
func (f *feeds) open(ctx context.Context) {
	f.wg.Go(func() {
		readers, err := f.position(ctx)
		if err != nil {
			return // only when ctx is done
		}
		close(f.positioned)
		for _, r := range readers {
			f.wg.Go(func() { r.run(ctx) })
		}
	})
}

func (f *feeds) close() { f.wg.Wait() }

// ready tells whether sessions may be admitted.
func (f *feeds) ready() bool {
	select {
	case <-f.positioned:
		return true
	default:
		return false
	}
}

// position finds the groups and the head of each feed, for as long as it takes.
func (f *feeds) position(ctx context.Context) ([]*feedReader, error) {
	var warned bool
	for {
		readers, err := f.heads(ctx)
		if err == nil {
			return readers, nil
		}
		if ctx.Err() == nil && !warned {
			f.srv.log.Warn("the feeds cannot be read yet", "err", err)
			warned = true
		}
		if !pause(ctx, 100*time.Millisecond+rand.N(100*time.Millisecond)) {
			return nil, ctx.Err()
		}
	}
}

func (f *feeds) heads(ctx context.Context) ([]*feedReader, error) {
	ctx, cancel := context.WithTimeout(ctx, f.srv.limits.RequestTimeout)
	defer cancel()
	groups, err := f.srv.seq.Groups(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the groups: %w", err)
	}
	readers := make([]*feedReader, groups)
	for g := range readers {
		r := &feedReader{
			feeds: f, group: wire.GroupID(g), turn: rand.Int(), out: dispatcher{srv: f.srv},
			log: f.srv.log.With("group", g),
		}
		if err := r.toHead(ctx); err != nil {
			return nil, fmt.Errorf("find the head of the feed of group %d: %w", g, err)
		}
		readers[g] = r
	}
	return readers, nil
}

// feedReader follows one group's feed.
type feedReader struct {
	feeds   *feeds
	group   wire.GroupID
	next    wire.Offset // the offset to read
	turn    int         // picks the replica
	node    string      // that conn is to
	conn    *wire.FeedConn
	asked   int         // counts the looks at other replicas
	witness string      // the replica that was looked at last
	suspect wire.Offset // what it had when this one had nothing more; 0: no doubt
	out     dispatcher
	failed  int // reads in a row
	log     *slog.Logger
}

// replica is the node to read from: edges and groups spread over all of them.
func (r *feedReader) replica() string {
	nodes := r.feeds.srv.seq.ReplicasOf(r.group)
	if len(nodes) == 0 {
		return ""
	}
	return nodes[uint(r.turn)%uint(len(nodes))]
}

// toHead sets the position to the present end of the feed, by whichever replica answers first.
func (r *feedReader) toHead(ctx context.Context) error {
	err := error(wire.ErrClusterDown)
	for range r.feeds.srv.seq.ReplicasOf(r.group) {
		if r.next, _, err = r.feeds.srv.seq.FeedHead(ctx, r.replica(), r.group); err == nil {
			return nil
		}
		r.turn++
	}
	return err
}

// run reads until ctx is done. A reader that fails pauses, longer each time, and tries another replica.
func (r *feedReader) run(ctx context.Context) {
	defer r.hangUp()
	for ctx.Err() == nil {
		events, next, err := r.read(ctx)
		switch {
		case errors.Is(err, wire.ErrTrimmed):
			r.trimmed(ctx)
		case err != nil:
			r.fails(ctx, err)
		default:
			r.works()
			r.take(ctx, events, next)
		}
	}
}

// read asks the replica for what comes next, over a connection that stays open while the replica does.
func (r *feedReader) read(ctx context.Context) (events []wire.Event, next wire.Offset, err error) {
	limits := r.feeds.srv.limits
	ctx, cancel := context.WithTimeout(ctx, limits.FeedWait+limits.RequestTimeout)
	defer cancel()
	if node := r.replica(); node != r.node || r.conn == nil {
		r.hangUp()
		if node == "" {
			return nil, 0, wire.ErrClusterDown
		}
		if r.conn, err = r.feeds.srv.seq.OpenFeed(ctx, node); err != nil {
			r.conn = nil
			return nil, 0, err
		}
		r.node = node
	}
	events, next, err = r.conn.Read(ctx, r.group, r.next, limits.FeedEvents, limits.FeedWait)
	if err == nil && next < r.next {
		err = fmt.Errorf("feed of group %d went back from %d to %d", r.group, r.next, next)
	}
	return events, next, err
}

func (r *feedReader) hangUp() {
	if r.conn != nil {
		_ = r.conn.Close() // nothing is lost: the offset is here
		r.conn = nil
	}
}

// take dispatches a batch and flushes what it touched.
func (r *feedReader) take(ctx context.Context, events []wire.Event, next wire.Offset) {
	for i := range events {
		r.out.feed(&events[i])
	}
	r.out.flush()
	r.feeds.srv.stats.read(events)
	r.next = next
	if len(events) > 0 {
		r.suspect = 0
		return
	}
	r.doubt(ctx)
}

// doubt finds out whether a replica that has nothing to tell is cut off from the others: it asks one of them for its head,
// each time another one, and goes there if that one had more all through the next read.
func (r *feedReader) doubt(ctx context.Context) {
	nodes := r.feeds.srv.seq.ReplicasOf(r.group)
	if r.suspect > r.next {
		r.feeds.srv.stats.feedSwitches.Add(1)
		r.log.Warn("a replica's feed stands still, reading another", "replica", r.node)
		r.turn = max(slices.Index(nodes, r.witness), 0)
		r.suspect = 0
		return
	}
	r.suspect = 0
	if len(nodes) < 2 {
		return
	}
	r.asked++
	r.witness = nodes[(uint(r.turn)+1+uint(r.asked)%uint(len(nodes)-1))%uint(len(nodes))]
	ctx, cancel := context.WithTimeout(ctx, r.feeds.srv.limits.FeedWait)
	defer cancel()
	if head, _, err := r.feeds.srv.seq.FeedHead(ctx, r.witness, r.group); err == nil {
		r.suspect = head
	}
}

func (r *feedReader) fails(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.turn++
	r.hangUp()
	r.feeds.srv.stats.feedFailures.Add(1)
	if r.failed++; r.failed == 3 { // one failure is a node that went away
		r.feeds.late.Add(1)
		r.log.Warn("the feed cannot be read", "err", err)
	}
	pause(ctx, time.Duration(min(r.failed, 10))*(20*time.Millisecond+rand.N(20*time.Millisecond)))
}

func (r *feedReader) works() {
	if r.failed >= 3 {
		r.feeds.late.Add(-1)
		r.log.Info("the feed is read again")
	}
	r.failed = 0
}

// trimmed takes up the feed at its end, after it was away for longer than events are kept: every session looks what it
// missed, in all its chats.
func (r *feedReader) trimmed(ctx context.Context) {
	r.feeds.srv.stats.feedTrims.Add(1)
	r.log.Warn("the feed was trimmed beyond this reader, all sessions catch up", "offset", r.next)
	if err := r.toHead(ctx); err != nil {
		r.fails(ctx, err)
		return
	}
	srv := r.feeds.srv
	srv.members.clear()
	for _, s := range srv.registry.all() {
		srv.loads.add(loadRequest{s: s, again: true})
	}
}

// pause waits, and is false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
