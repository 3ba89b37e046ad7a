package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/quorate/quorate/delivery/follow"
	"github.com/quorate/quorate/sequencer/wire"
)

// feedReader hands on what one group's feed tells.
type feedReader struct {
	*follow.Reader
	hub     *hub
	group   wire.GroupID
	out     *dispatcher
	edges   []*remoteEdge // that get what is read
	told    time.Time     // when they were last told how far it is
	flushed time.Duration // what the last flush took
	log     *slog.Logger
	stop    context.CancelFunc // of run

	mu      sync.Mutex
	shared  bool          // it reads for other edges too
	joining []*remoteEdge // that are to get what is read
	leaving []*remoteEdge // that are to get no more
	warmed  bool          // the members of the chats in use were read since it is shared
}

func newFeedReader(h *hub, g wire.GroupID, next wire.Offset) *feedReader {
	r := &feedReader{hub: h, group: g, out: newDispatcher(h), log: h.srv.log.With("group", g)}
	r.out.group = g
	limits := h.srv.limits
	r.Reader = follow.NewReader(follow.Config{
		Seq: h.srv.seq, Events: limits.FeedEvents, Wait: limits.FeedWait, Counts: &h.srv.stats.feeds,
	}, g, next, r.log)
	return r
}

// run reads until ctx is done.
func (r *feedReader) run(ctx context.Context) {
	defer r.Close()
	for ctx.Err() == nil {
		r.meetEdges(ctx)
		events, next, err := r.Read(ctx)
		switch {
		case errors.Is(err, wire.ErrTrimmed):
			r.trimmed(ctx)
		case err != nil:
			r.Failed(ctx, err)
		default:
			events, next = r.gather(ctx, events, next)
			r.take(ctx, events, next)
		}
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
		began := time.Now()
		r.out.flush()
		r.flushed = time.Since(began)
		r.hub.sizes.took(time.Since(read), time.Now())
		rest = rest[n:]
	}
	srv.stats.read(events)
	r.hub.places.raise(r.group, next)
	for _, e := range r.edges {
		e.raise(r.group, next)
	}
	r.Next = next
	r.tellEdges(len(events) > 0)
	r.Advance(ctx, next, len(events) == 0)
}

// trimmed takes up the feed at its end, after it was away for longer than events are kept: every session looks what it
// missed, in all its chats.
func (r *feedReader) trimmed(ctx context.Context) {
	r.hub.srv.stats.feedTrims.Add(1)
	r.log.Warn("the feed was trimmed beyond this reader, all sessions catch up", "offset", r.Next)
	if err := r.ToHead(ctx); err != nil {
		r.Failed(ctx, err)
		return
	}
	srv := r.hub.srv
	srv.members.clear()
	for _, e := range r.edges {
		e.restart(r.group, r.Next)
	}
	srv.lookAgain(nil)
	r.hub.places.raise(r.group, r.Next)
}

// pause waits, and is false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool { return follow.Pause(ctx, d) }
