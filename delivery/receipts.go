package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// markKey is the member whose watermarks a mark raises.
type markKey struct{ chatID, user string }

// receiptWriter coalesces receipts: of one member in one chat only the highest matters, and the members of one chat go into
// one command. It takes only marks of messages that were pushed to the member, so they are never refused for what they say.
// A receipt that is lost with this edge is no harm: the client acknowledges again when it resumes.
type receiptWriter struct {
	seq     *wire.Client
	stats   *stats
	delay   time.Duration
	most    int
	timeout time.Duration
	log     *slog.Logger

	mu      sync.Mutex
	pending map[markKey]wire.Mark
	full    chan struct{} // has room for one: write before the delay is over
	wg      sync.WaitGroup
}

func newReceiptWriter(srv *Server) *receiptWriter {
	return &receiptWriter{
		seq: srv.seq, stats: srv.stats, delay: srv.limits.ReceiptDelay, most: srv.limits.PendingReceipts,
		timeout: srv.limits.RequestTimeout, log: srv.log,
		pending: map[markKey]wire.Mark{}, full: make(chan struct{}, 1),
	}
}

// add takes a mark of a client, or refuses it when too many wait.
func (w *receiptWriter) add(chatID string, m wire.Mark) *problem {
	w.stats.marks.Add(1)
	p := w.merge(chatID, m)
	if p != nil {
		w.stats.marksLost.Add(1)
	}
	return p
}

// merge puts a mark among those that wait.
func (w *receiptWriter) merge(chatID string, m wire.Mark) *problem {
	key := markKey{chatID, m.UserID}
	w.mu.Lock()
	defer w.mu.Unlock()
	have, ok := w.pending[key]
	if !ok && len(w.pending) >= w.most {
		return refuse(codeOverloaded, "too many receipts wait")
	}
	if ok {
		w.stats.marksMerged.Add(1)
	}
	m.Delivered, m.Read = max(m.Delivered, have.Delivered), max(m.Read, have.Read)
	w.pending[key] = m
	if len(w.pending) > w.most/2 {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return nil
}

// open starts the writing goroutine. When ctx ends it writes what it has and stops.
func (w *receiptWriter) open(ctx context.Context) {
	w.wg.Go(func() {
		tick := time.NewTicker(w.delay)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				w.write()
				return
			case <-tick.C:
			case <-w.full:
			}
			w.write()
		}
	})
}

func (w *receiptWriter) close() { w.wg.Wait() }

// receiptWindow is how many chats' receipts are under way at a time.
const receiptWindow = 256

// write writes everything that waits, one command per chat, and waits for the answers, so that at most one batch is under
// way and the next one grows meanwhile.
func (w *receiptWriter) write() {
	w.mu.Lock()
	pending := w.pending
	w.pending = map[markKey]wire.Mark{}
	w.mu.Unlock()
	chats := map[string][]wire.Mark{}
	for key, m := range pending {
		chats[key.chatID] = append(chats[key.chatID], m)
	}
	window := make(chan struct{}, receiptWindow)
	var wg sync.WaitGroup
	for chatID, marks := range chats {
		window <- struct{}{}
		wg.Add(1)
		w.stats.receiptCommands.Add(1)
		w.seq.ReceiptAsync(w.timeout, chatID, marks, func(results []wire.MarkResult, err error) {
			w.written(chatID, marks, results, err)
			<-window
			wg.Done()
		})
	}
	wg.Wait()
}

// written keeps the marks that may be written later.
func (w *receiptWriter) written(chatID string, marks []wire.Mark, results []wire.MarkResult, err error) {
	for i, m := range marks {
		fault := err
		if fault == nil {
			fault = results[i].Err
		}
		switch {
		case fault == nil, errors.Is(fault, wire.ErrNotMember), errors.Is(fault, wire.ErrNoChat): // or he has left meanwhile
		case wire.Temporary(fault):
			if w.merge(chatID, m) != nil {
				w.stats.marksLost.Add(1)
				w.log.Warn("a receipt is lost: too many wait", "chat", chatID)
			}
		default:
			w.log.Warn("a receipt was refused", "chat", chatID, "err", fault)
		}
	}
}
