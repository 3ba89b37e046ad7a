package sequencer

import (
	"errors"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// pageRequest is CHAT.RANGE chatId fromSeq count [BEFORE] [STALE] [TIMES] [FOR user].
type pageRequest struct {
	chatID string
	seq    wire.Seq
	count  int
	before bool
	times  bool
	user   string
	bytes  int // that the page may have
}

func chatRange(c *conn, k *call, a args) error {
	q := pageRequest{bytes: c.srv.limits.FeedBytes}
	var err error
	if q.chatID, err = a.id(1, "chatId"); err != nil {
		return err
	}
	if q.seq, err = a.seq(2, "fromSeq"); err != nil {
		return err
	}
	count, err := a.number(3, "count", 1, wire.MaxPage)
	if err != nil {
		return err
	}
	q.count = int(count)
	how := reading{key: q.chatID}
	for o := (options{args: a, at: 4}); o.more(); {
		switch {
		case o.take(0, "BEFORE"):
			q.before = true
		case o.take(1, "STALE"):
			how.stale = true
		case o.take(2, "TIMES"):
			q.times = true
		case o.take(3, "FOR"):
			if q.user, err = o.id("FOR"); err != nil {
				return err
			}
		default:
			return errSyntax
		}
	}
	return k.read(how, q.read)
}

// rangeCost is what a page may have: its messages, or the bytes that end it and one message over.
func rangeCost(c *conn, a args) int {
	count, ok := digits(a[3])
	if !ok || count > wire.MaxPage {
		return 0 // refused
	}
	return min(int(count)*(messageBytes+wire.MaxTextBytes), c.srv.limits.FeedBytes+messageBytes+wire.MaxTextBytes)
}

// read answers the page.
func (q *pageRequest) read(s *raftfsm.Store, r *reply) error {
	a, err := q.find(s)
	for tries := 1; errors.Is(err, errMoved) && tries < pageTries; tries++ {
		a, err = q.find(s)
	}
	if errors.Is(err, errMoved) {
		return wire.ErrTryAgain
	}
	if err != nil {
		return err
	}
	a.write(r, q)
	return nil
}

// pageTries bounds how often a page is read that goes to the archive meanwhile.
const pageTries = 3

// pageAnswer is what CHAT.RANGE answers.
type pageAnswer struct {
	messages []wire.Message
	next     wire.Seq
	archived bool // part of what was asked for is not in the hot store
	runs     []wire.ArchivedRun
	reach    []wire.Reach
}

// find reads the page: the messages that are hot, and where the others are.
func (q *pageRequest) find(s *raftfsm.Store) (a pageAnswer, err error) {
	chat, err := s.Chat(q.chatID)
	if err != nil {
		return a, err
	}
	visible := wholeLog(chat.LastSeq)
	if q.user != "" {
		if visible, err = member(chat, q.user); err != nil {
			return a, err
		}
	}
	if chat.HotFrom > 1 {
		kept, err := s.Retention(q.chatID)
		if err != nil {
			return a, err
		}
		visible = visible.since(kept.First)
	}
	p := pageReader{store: s, chatID: q.chatID, size: q.bytes}
	cold, err := q.page(&p, &a, visible, chat.HotFrom)
	if err != nil {
		return a, err
	}
	a.messages = p.got
	for _, run := range cold {
		runs, err := s.ArchivedRuns(q.chatID, run.From, run.To)
		if err != nil {
			return a, err
		}
		if !covers(runs, run) {
			return a, errMoved // forgotten meanwhile
		}
		a.runs = append(a.runs, runs...)
	}
	if !q.times {
		return a, nil
	}
	if len(cold) > 0 {
		a.reach, err = s.Reaches(chat, cold[0].From, cold[len(cold)-1].To)
	}
	return a, errors.Join(err, s.Times(chat, a.messages))
}

// covers reports whether runs are exactly what lies in an interval.
func covers(runs []wire.ArchivedRun, i wire.Interval) bool {
	n := len(runs)
	return n > 0 && runs[0].From == i.From && runs[n-1].To == i.To // ArchivedRuns has no holes
}

// page reads the messages and tells where the next page begins, and what of the page is not in the hot store.
func (q *pageRequest) page(p *pageReader, a *pageAnswer, visible view, hotFrom wire.Seq) (cold view, err error) {
	if q.before {
		runs := visible.before(q.seq, q.count)
		cold = runs.until(hotFrom)
		hot := runs.since(hotFrom)
		if err = p.down(hot); err != nil {
			return nil, err
		}
		first := q.seq
		if len(p.got) > 0 {
			first = p.got[0].Seq
		}
		if len(hot) > 0 && first > hot[0].From {
			cold = nil // the page was full before
		} else if len(cold) > 0 {
			first = cold[0].From
		}
		if a.archived = len(cold) > 0; len(runs) > 0 && visible.below(first) {
			a.next = first
		}
		return cold, nil
	}
	runs, behind := visible.from(q.seq, q.count)
	cold = runs.until(hotFrom)
	a.archived = len(cold) > 0
	if a.next, err = p.up(runs.since(hotFrom)); a.next == 0 {
		a.next = behind
	}
	return cold, err
}

func (a *pageAnswer) write(r *reply, q *pageRequest) {
	n := 4
	if len(a.runs) > 0 {
		n++
	}
	if len(a.reach) > 0 {
		n++
	}
	r.maps(n)
	r.fieldStr("chatId", q.chatID)
	r.field("messages")
	r.array(len(a.messages))
	for i := range a.messages {
		messageMap(r, &a.messages[i], q.times)
	}
	r.fieldInt("next", int64(a.next))
	r.fieldBool("archived", a.archived)
	if len(a.runs) > 0 {
		r.field("runs")
		runList(r, a.runs)
	}
	if len(a.reach) > 0 {
		r.field("reach")
		reachList(r, a.reach)
	}
}
