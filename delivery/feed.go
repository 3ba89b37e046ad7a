package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// feedReader follows one group's feed from any replica. The feed is the same on all replicas, so a reader that changes the replica goes on
// at its offset.
type feedReader struct {
	hub     *hub
	group   wire.GroupID
	next    wire.Offset // the offset to read
	turn    int         // picks the replica; 0 is the leader
	turned  time.Time   // when it did so last
	node    string      // that conn is to
	conn    *wire.FeedConn
	asked   int         // counts the looks at other replicas
	witness string      // the replica that was looked at last
	suspect wire.Offset // what it had when this one had nothing more; 0: no doubt
	out     *dispatcher
	failed  int           // reads in a row
	edges   []*remoteEdge // that get what is read
	told    time.Time     // when they were last told how far it is
	log     *slog.Logger
	stop    context.CancelFunc // of run

	mu      sync.Mutex
	shared  bool          // it reads for other edges too
	joining []*remoteEdge // that are to get what is read
	leaving []*remoteEdge // that are to get no more
	warmed  bool          // the members of the chats in use were read since it is shared
}

func newFeedReader(h *hub, g wire.GroupID, next wire.Offset) *feedReader {
	r := &feedReader{hub: h, group: g, next: next, out: newDispatcher(h), log: h.srv.log.With("group", g)}
	r.out.group = g
	return r
}

// leaderAgain is how long a reader stays with a replica that it went to for want of the leader.
const leaderAgain = 2 * time.Second

// replica is the node to read from: the leader, or while that does not answer another one. A replica that does not lead learns that an entry
// is committed with the next one, or up to 100 ms later; and a leader has no more than one reader in each region.
func (r *feedReader) replica() string {
	nodes := r.hub.srv.seq.ReplicasOf(r.group)
	if len(nodes) == 0 {
		return ""
	}
	return nodes[uint(r.turn)%uint(len(nodes))]
}

// toHead sets the position to the present end of the feed, by whichever replica answers first.
func (r *feedReader) toHead(ctx context.Context) error {
	err := error(wire.ErrClusterDown)
	for range r.hub.srv.seq.ReplicasOf(r.group) {
		if r.next, _, err = r.hub.srv.seq.FeedHead(ctx, r.replica(), r.group); err == nil {
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
		r.meetEdges(ctx)
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

// feedSilence is how late the answer to a read may come. A node that is later than that stands still.
const feedSilence = time.Second

// read asks the replica for what comes next, over a connection that stays open while the replica does.
func (r *feedReader) read(ctx context.Context) (events []wire.Event, next wire.Offset, err error) {
	limits := r.hub.srv.limits
	ctx, cancel := context.WithTimeout(ctx, limits.FeedWait+feedSilence)
	defer cancel()
	if node := r.replica(); node != r.node || r.conn == nil {
		r.hangUp()
		if node == "" {
			return nil, 0, wire.ErrClusterDown
		}
		if r.conn, err = r.hub.srv.seq.OpenFeed(ctx, node); err != nil {
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

// take dispatches what was read, in batches as large as is good for this node's own sessions.
func (r *feedReader) take(ctx context.Context, events []wire.Event, next wire.Offset) {
	if r.meetEdges(ctx) {
		return // it goes back first
	}
	read := time.Now()
	srv := r.hub.srv
	for rest := events; len(rest) > 0; {
		n := min(len(rest), r.hub.sizes.get())
		for i := range rest[:n] {
			r.out.feed(&rest[i])
		}
		r.out.flush()
		r.hub.sizes.took(time.Since(read), time.Now())
		rest = rest[n:]
	}
	srv.stats.read(events)
	r.next = next
	r.hub.places.raise(r.group, next)
	for _, e := range r.edges {
		e.raise(r.group, next)
	}
	r.tellEdges(len(events) > 0)
	if len(events) > 0 {
		r.suspect = 0
		return
	}
	r.doubt(ctx)
}

// doubt finds out whether a replica that has nothing to tell is cut off from the others: it asks one of them for its head,
// each time another one, and goes there if that one had more all through the next read.
func (r *feedReader) doubt(ctx context.Context) {
	nodes := r.hub.srv.seq.ReplicasOf(r.group)
	if r.suspect > r.next {
		r.hub.srv.stats.feedSwitches.Add(1)
		r.log.Warn("a replica's feed stands still, reading another", "replica", r.node)
		r.turn, r.turned = max(slices.Index(nodes, r.witness), 0), time.Now()
		r.suspect = 0
		return
	}
	r.suspect = 0
	if len(nodes) < 2 {
		return
	}
	r.asked++
	r.witness = nodes[(uint(r.turn)+1+uint(r.asked)%uint(len(nodes)-1))%uint(len(nodes))]
	ctx, cancel := context.WithTimeout(ctx, r.hub.srv.limits.FeedWait)
	defer cancel()
	if head, _, err := r.hub.srv.seq.FeedHead(ctx, r.witness, r.group); err == nil {
		r.suspect = head
	}
}

func (r *feedReader) fails(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.turn++
	r.turned = time.Now()
	r.hangUp()
	r.hub.srv.stats.feedFailures.Add(1)
	if r.failed++; r.failed == 3 { // one failure is a node that went away
		r.hub.late.Add(1)
		r.log.Warn("the feed cannot be read", "err", err)
	}
	pause(ctx, time.Duration(min(r.failed, 10))*(20*time.Millisecond+rand.N(20*time.Millisecond)))
}

func (r *feedReader) works() {
	if r.turn != 0 && time.Since(r.turned) > leaderAgain {
		r.turn = 0
	}
	if r.failed >= 3 {
		r.hub.late.Add(-1)
		r.log.Info("the feed is read again")
	}
	r.failed = 0
}

// trimmed takes up the feed at its end, after it was away for longer than events are kept: every session looks what it
// missed, in all its chats.
func (r *feedReader) trimmed(ctx context.Context) {
	r.hub.srv.stats.feedTrims.Add(1)
	r.log.Warn("the feed was trimmed beyond this reader, all sessions catch up", "offset", r.next)
	if err := r.toHead(ctx); err != nil {
		r.fails(ctx, err)
		return
	}
	srv := r.hub.srv
	srv.members.clear()
	for _, e := range r.edges {
		e.restart(r.group, r.next)
	}
	srv.lookAgain(nil)
	r.hub.places.raise(r.group, r.next)
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
