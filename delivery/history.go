package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

const (
	archivePageBytes = 1 << 20 // of texts in one page, as at the sequencer
	archiveStep      = 64      // messages read of the archive at one time
	archiveReads     = 32      // pages read at one time; each may hold archivePageBytes, and what it reads them from
	archiveWaiting   = 4096    // pages that wait for that
)

// errArchive says that messages are in the archive and cannot be read from there now. Nothing else suffers from it.
var errArchive = errors.New("the archive")

// history reads pages of chats' logs wherever the messages are. A sequencer answers with what is hot and with where the rest is;
// this reads the rest itself, so that old history costs the sequencers nothing.
type history struct {
	seq     *wire.Client
	archive *archive.Reader // nil: there is none here
	stats   *stats
	spawn   func(func()) // Close waits for what it runs

	slots   chan struct{}
	waiting atomic.Int64
}

func newHistory(s *Server) *history {
	h := &history{seq: s.seq, stats: s.stats, spawn: s.spawn, slots: make(chan struct{}, archiveReads)}
	if s.cfg.Archive != nil {
		h.archive = archive.NewReader(s.cfg.Archive, archive.ReaderConfig{})
	}
	return h
}

// page reads a page.
func (h *history) page(ctx context.Context, q wire.RangeRequest) (wire.Page, error) {
	page, err := h.seq.Range(ctx, q)
	if err != nil || len(page.Runs) == 0 {
		return page, err
	}
	return h.complete(ctx, q, page)
}

// pageAsync is page that does not wait. done is called once, on a goroutine that it must not block.
func (h *history) pageAsync(timeout time.Duration, q wire.RangeRequest, done func(wire.Page, error)) {
	deadline := time.Now().Add(timeout)
	h.seq.RangeAsync(timeout, q, func(page wire.Page, err error) {
		switch {
		case err != nil || len(page.Runs) == 0:
			done(page, err)
		case h.waiting.Load() >= archiveWaiting:
			done(wire.Page{}, fmt.Errorf("%w: too many wait for it", errArchive))
		default:
			h.spawn(func() { // as many as may wait
				ctx, cancel := context.WithDeadline(context.Background(), deadline)
				defer cancel()
				done(h.complete(ctx, q, page))
			})
		}
	})
}

// complete puts the archived messages of a page before those that are hot.
func (h *history) complete(ctx context.Context, q wire.RangeRequest, page wire.Page) (wire.Page, error) {
	rows, next, err := h.rows(ctx, q, page.Runs)
	if err != nil {
		return wire.Page{}, err
	}
	if next != 0 && !q.Before {
		page.Messages = nil // they would not follow on
	}
	if next != 0 {
		page.Next = next
	}
	messages := make([]wire.Message, len(rows), len(rows)+len(page.Messages))
	for i := range rows {
		messages[i] = rows[i].Message
	}
	if q.Times {
		archivedTimes(rows, page.Reach, messages)
	}
	page.Messages = append(messages, page.Messages...)
	return page, nil
}

// rows reads the messages of runs, ascending; with Before from their end on. next is where the page ends, where there was no room
// for all, and 0 otherwise.
func (h *history) rows(ctx context.Context, q wire.RangeRequest, runs []wire.ArchivedRun) (rows []archive.Row, next wire.Seq, err error) {
	if h.archive == nil {
		return nil, 0, fmt.Errorf("%w: this node has none", errArchive)
	}
	h.waiting.Add(1)
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("%w: %w", errArchive, ctx.Err())
	}
	h.stats.archivePages.Add(1)
	began := time.Now()
	rows, next, err = h.read(ctx, q, runs)
	h.stats.archiveSeconds.Took(began)
	if err != nil {
		h.stats.archiveFailed(err)
		return nil, 0, fmt.Errorf("%w: %w", errArchive, err)
	}
	return rows, next, nil
}

func (h *history) read(ctx context.Context, q wire.RangeRequest, runs []wire.ArchivedRun) (rows []archive.Row, next wire.Seq, err error) {
	room := archivePageBytes
	if q.Before {
		defer func() { slices.Reverse(rows) }()
	}
	for _, part := range steps(runs, q.Before) {
		whole := archive.Range{ChatID: q.ChatID, From: part.From, To: part.To, Row: part.Row}
		got, err := h.archive.Read(ctx, *part.Segment, whole, part.From, int(part.To-part.From+1))
		if err != nil {
			return nil, 0, err
		}
		if q.Before {
			slices.Reverse(got)
		}
		for i := range got {
			if room -= len(got[i].Text); room < 0 && len(rows) > 0 {
				next = got[i].Seq
				if q.Before {
					next++
				}
				return rows, next, nil
			}
			rows = append(rows, got[i])
		}
	}
	return rows, 0, nil
}

// steps cuts runs into parts that are read one after the other, the last first with before.
func steps(runs []wire.ArchivedRun, before bool) (parts []wire.ArchivedRun) {
	for _, run := range runs {
		for at := run.From; at <= run.To; at += archiveStep {
			parts = append(parts, wire.ArchivedRun{
				From: at, To: min(run.To, at+archiveStep-1), Row: run.Row + int64(at-run.From), Segment: run.Segment,
			})
		}
	}
	if before {
		slices.Reverse(parts)
	}
	return parts
}

// receipts tells when the members of a chat got an archived message, as the sequencer tells it of a hot one.
func (h *history) receipts(ctx context.Context, chatID string, seq wire.Seq, user string) ([]wire.Watermarks, error) {
	q := wire.RangeRequest{ChatID: chatID, From: seq, Count: 1, Times: true, ForUser: user}
	page, err := h.seq.Range(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(page.Runs) == 0 || page.Runs[0].From != seq {
		return nil, wire.ErrNoChat
	}
	rows, _, err := h.rows(ctx, q, page.Runs)
	if err != nil {
		return nil, err
	}
	return archivedReceipts(&rows[0], page.Reach), nil
}
