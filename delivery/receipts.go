package delivery

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// waitingMarks are the marks of one chat that wait for others.
type waitingMarks struct {
	chatID string
	marks  map[string]wire.Mark // by user
	due    time.Time            // to be written
}

const (
	// receiptTicks is in how many steps the receipts of one delay are written. All at once they would hold up messages.
	receiptTicks = 16

	// crowdMarks is how many marks of one chat are a crowd's. They wait for crowdDelays delays: each of them may be told to each member,
	// and what the members acknowledge meanwhile is told with it.
	crowdMarks  = 64
	crowdDelays = 4
)

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
	pending map[string]*waitingMarks // by chat
	order   []*waitingMarks          // by when they are due
	crowds  []*waitingMarks          // likewise: those of order that turned out to be a crowd's
	count   int                      // of marks in pending
	full    chan struct{}            // has room for one: write before the delay is over
	some    chan struct{}            // has room for one: there is a first to write
	wg      sync.WaitGroup
}

func newReceiptWriter(srv *Server) *receiptWriter {
	return &receiptWriter{
		seq: srv.seq, stats: srv.stats, delay: srv.limits.ReceiptDelay, most: srv.limits.PendingReceipts,
		timeout: srv.limits.RequestTimeout, log: srv.log,
		pending: map[string]*waitingMarks{}, full: make(chan struct{}, 1), some: make(chan struct{}, 1),
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
	w.mu.Lock()
	defer w.mu.Unlock()
	var have wire.Mark
	chat, ok := w.pending[chatID], false
	if chat != nil {
		have, ok = chat.marks[m.UserID]
	}
	if !ok && w.count >= w.most {
		return refuse(codeOverloaded, "too many receipts wait")
	}
	if chat == nil {
		chat = &waitingMarks{chatID: chatID, marks: map[string]wire.Mark{}, due: time.Now().Add(w.delay)}
		w.pending[chatID] = chat
		if w.order = append(w.order, chat); len(w.order)+len(w.crowds) == 1 {
			select {
			case w.some <- struct{}{}:
			default:
			}
		}
	}
	if ok {
		w.stats.marksMerged.Add(1)
	} else {
		w.count++
	}
	m.Delivered, m.Read = max(m.Delivered, have.Delivered), max(m.Read, have.Read)
	chat.marks[m.UserID] = m
	if w.count > w.most/2 {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
	return nil
}

// forget drops what waits, and what comes from now on: it is of another cluster's messages.
func (w *receiptWriter) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending, w.order, w.crowds, w.count, w.most = map[string]*waitingMarks{}, nil, nil, 0, 0
}

// open starts the writing goroutine. When ctx ends it writes what it has and stops.
func (w *receiptWriter) open(ctx context.Context) {
	w.wg.Go(func() {
		every := max(w.delay/receiptTicks, time.Millisecond)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if w.idle() {
				tick.Stop()
				select {
				case <-ctx.Done():
				case <-w.some:
				}
				tick.Reset(every)
			}
			select {
			case <-ctx.Done():
				w.write(w.takeAll())
				return
			case now := <-tick.C:
				w.write(w.take(now))
			case <-w.full:
				w.write(w.takeAll())
			}
		}
	})
}

// idle tells whether nothing waits.
func (w *receiptWriter) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.order)+len(w.crowds) == 0
}

// take takes the marks out that are due by a time.
func (w *receiptWriter) take(by time.Time) []*waitingMarks {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []*waitingMarks
	for _, chat := range dueBy(&w.order, by) {
		if len(chat.marks) < crowdMarks {
			due = append(due, chat)
			continue
		}
		chat.due = chat.due.Add((crowdDelays - 1) * w.delay)
		w.crowds = append(w.crowds, chat)
	}
	return w.left(append(due, dueBy(&w.crowds, by)...))
}

// takeAll takes all marks out.
func (w *receiptWriter) takeAll() []*waitingMarks {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.left(append(w.crowds, w.order...))
	w.crowds, w.order = nil, nil
	return all
}

// dueBy cuts off those that are due by a time.
func dueBy(order *[]*waitingMarks, by time.Time) []*waitingMarks {
	n := 0
	for n < len(*order) && !(*order)[n].due.After(by) {
		n++
	}
	due := (*order)[:n:n]
	if *order = (*order)[n:]; len(*order) == 0 {
		*order = nil // and with it what it was cut off from
	}
	return due
}

// left takes chats out of pending.
func (w *receiptWriter) left(chats []*waitingMarks) []*waitingMarks {
	for _, chat := range chats {
		w.count -= len(chat.marks)
		delete(w.pending, chat.chatID)
	}
	return chats
}

func (w *receiptWriter) close() { w.wg.Wait() }

// receiptWindow is how many chats' receipts are under way at a time.
const receiptWindow = 256

// write writes marks, one command per chat, and waits for the answers, so that at most one batch is under way and the next one grows
// meanwhile.
func (w *receiptWriter) write(due []*waitingMarks) {
	window := make(chan struct{}, receiptWindow)
	var wg sync.WaitGroup
	for _, chat := range due {
		marks := slices.Collect(maps.Values(chat.marks))
		window <- struct{}{}
		wg.Add(1)
		w.stats.receiptCommands.Add(1)
		w.seq.ReceiptAsync(w.timeout, chat.chatID, marks, func(results []wire.MarkResult, err error) {
			w.written(chat.chatID, marks, results, err)
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
