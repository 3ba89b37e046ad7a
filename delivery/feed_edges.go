package delivery

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	// maxRewind is how many events a reader goes back for an edge that joins. One that is further behind looks into its chats instead.
	maxRewind = 200_000
	// tellEvery is how often edges are told how far a busy feed has been read.
	tellEvery = 100 * time.Millisecond
	// warmEvents and warmTime bound how far back a reader looks for the chats that are in use, and how long it waits for their members.
	warmEvents = 1000
	warmTime   = 300 * time.Millisecond
)

// share makes the reader one for other edges too, or ends that.
func (r *feedReader) share(shared bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared, r.warmed = shared, false
}

// join has an edge get what is read from where it stands, if that is not too far back.
func (r *feedReader) join(e *remoteEdge) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joining = append(r.joining, e)
}

// leave has an edge get no more.
func (r *feedReader) leave(e *remoteEdge) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving = append(r.leaving, e)
}

// meetEdges takes in the edges that join and lets go of those that leave. back tells that the next event to read is an earlier one
// now, because an edge has not got it; who has got it is not sent it again.
func (r *feedReader) meetEdges(ctx context.Context) (back bool) {
	r.mu.Lock()
	joining, leaving, shared, warm := r.joining, r.leaving, r.shared, r.shared && !r.warmed
	r.joining, r.leaving, r.warmed = nil, nil, true
	r.mu.Unlock()
	if warm {
		r.warm(ctx)
	}
	if !shared {
		r.edges = nil
		return false
	}
	was := r.Next
	for _, e := range joining {
		if slices.Contains(r.edges, e) {
			continue
		}
		at := was
		if place := e.told(r.group); place > was || place > 0 && was-place <= maxRewind {
			at = place
		}
		e.restart(r.group, at)
		r.Next = min(r.Next, at)
		r.edges = append(r.edges, e)
	}
	r.edges = slices.DeleteFunc(r.edges, func(e *remoteEdge) bool { return slices.Contains(leaving, e) })
	return r.Next < was
}

// tellEdges tells them how far the feed has been read: often while there are events, and after every read that had none.
func (r *feedReader) tellEdges(busy bool) {
	if now := time.Now(); len(r.edges) > 0 && (!busy || now.Sub(r.told) >= tellEvery) {
		r.told = now
		open := r.hub.srv.members.unfinished(r.group)
		for _, e := range r.edges {
			e.queueCovered(r.group, open)
		}
	}
}

// warm has the members of the chats that the feed told of last be read, so that events which come now need not wait for them.
func (r *feedReader) warm(ctx context.Context) {
	next := r.Next
	if next <= 1 {
		return // there was nothing yet
	}
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	defer func() { r.Next = next }()
	r.Next -= min(r.Next-1, warmEvents)
	events, _, err := r.Read(ctx)
	if err != nil {
		return // it was only to be quick
	}
	chats := map[string]bool{}
	var asked sync.WaitGroup
	for i := range events {
		if id := events[i].ChatID; !chats[id] {
			chats[id] = true
			asked.Add(1)
			r.hub.srv.members.chat(id, func(*wire.Chat, error) { asked.Done() })
		}
	}
	done := make(chan struct{})
	go func() { asked.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
