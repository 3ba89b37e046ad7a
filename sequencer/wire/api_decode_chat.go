package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// decodeChat reads a chat map, with what it holds for one member where it was asked for that.
func decodeChat(r Reply) (*ChatView, error) {
	f := fields{Reply: r}
	v := &ChatView{
		Chat: Chat{
			ChatID: f.id("chatId"), Type: ChatType(f.str("type")), Name: f.str("name"), CreatorID: f.id("creator"),
			CreatedAt: f.millis("createdAt"), HistoryFromStart: f.str("history") == "start", Version: f.num("version"),
			LastSeq: Seq(f.num("lastSeq")), HotFrom: Seq(f.num("hotFrom")), Lamport: Lamport(f.num("lamport")),
			Members: decodeMembers(&f),
		},
		DeliveredUpTo: Seq(f.num("deliveredUpTo")), ReadUpTo: Seq(f.num("readUpTo")), From: Seq(f.num("from")),
	}
	if last := f.Field("lastMessage"); !last.IsNull() {
		m, err := decodeMessage(v.ChatID, last)
		if err != nil {
			return nil, err
		}
		v.LastMessage = &m
	}
	if f.err != nil {
		return nil, f.err
	}
	return v, nil
}

// decodeMembers reads the members and, parallel to them, their intervals, and puts them in the order that Chat promises.
func decodeMembers(f *fields) []Member {
	ids, runs := f.list("members"), f.list("intervals")
	if len(ids) > MaxMembers || len(runs) != 0 && len(runs) != len(ids) {
		f.fail("members", fmt.Errorf("%d with %d lists of intervals", len(ids), len(runs)))
		return nil
	}
	members := make([]Member, len(ids))
	for i := range ids {
		members[i].UserID = ids[i].Str()
		if CheckID("member", members[i].UserID) != nil {
			f.fail("members", errors.New("not an id"))
		}
		if len(runs) != 0 {
			members[i].Intervals = decodeIntervals(f, runs[i])
		}
	}
	byID := func(a, b Member) int { return strings.Compare(a.UserID, b.UserID) }
	if !slices.IsSortedFunc(members, byID) {
		slices.SortFunc(members, byID)
	}
	return members
}

// decodeIntervals reads from, to, from, to …; to is 0 while the interval is open.
func decodeIntervals(f *fields, r Reply) []Interval {
	if r.kind != KindArray || len(r.elems)%2 != 0 {
		f.fail("intervals", errKind)
		return nil
	}
	runs := make([]Interval, 0, len(r.elems)/2)
	for i := 0; i < len(r.elems); i += 2 {
		from, err1 := r.elems[i].Uint()
		to, err2 := r.elems[i+1].Uint()
		if err := errors.Join(err1, err2); err != nil {
			f.fail("intervals", err)
			return nil
		}
		runs = append(runs, Interval{From: Seq(from), To: Seq(to)})
	}
	return runs
}

func readMarks(f *fields) Watermarks {
	return Watermarks{
		UserID: f.id("userId"), Delivered: Seq(f.num("deliveredUpTo")), Read: Seq(f.num("readUpTo")),
		DeliveredAt: f.millis("deliveredAt"), ReadAt: f.millis("readAt"),
	}
}

func decodeWatermarks(r Reply) ([]Watermarks, error) {
	if r.kind != KindArray {
		return nil, fmt.Errorf("%w: not an array of watermarks", errReply)
	}
	list := make([]Watermarks, len(r.elems))
	for i := range r.elems {
		f := fields{Reply: r.elems[i]}
		list[i] = readMarks(&f)
		if f.err != nil {
			return nil, f.err
		}
	}
	return list, nil
}

// decodeMarks reads the answer to CHAT.RECEIPT: per mark the watermarks, an error, or null for one who is not a member.
func decodeMarks(marks []Mark) func(Reply) ([]MarkResult, error) {
	return func(r Reply) ([]MarkResult, error) {
		if r.kind != KindArray || len(r.elems) != len(marks) {
			return nil, fmt.Errorf("%w: not an array of %d watermarks", errReply, len(marks))
		}
		results := make([]MarkResult, len(marks))
		for i, e := range r.elems {
			results[i].UserID = marks[i].UserID
			if e.IsNull() {
				results[i].Err = ErrNotMember
				continue
			}
			if results[i].Err = e.Err(); results[i].Err != nil {
				continue
			}
			f := fields{Reply: e}
			results[i].Watermarks = readMarks(&f)
			if f.err != nil {
				return nil, f.err
			}
		}
		return results, nil
	}
}

// decodeEvents reads the answer to FEED.READ.
func decodeEvents(r Reply) (events []Event, next Offset, err error) {
	f := fields{Reply: r}
	list := f.list("events")
	next = Offset(f.must("next"))
	if f.err != nil {
		return nil, 0, f.err
	}
	events = make([]Event, len(list))
	for i := range list {
		if events[i], err = decodeEvent(list[i]); err != nil {
			return nil, 0, err
		}
		if i > 0 && events[i].Offset <= events[i-1].Offset || events[i].Offset >= next {
			return nil, 0, fmt.Errorf("%w: offset %d of an event is out of order", errReply, events[i].Offset)
		}
	}
	return events, next, nil
}

// decodeEvent reads an event map. Of a kind that is not known here it reads what all kinds have.
func decodeEvent(r Reply) (Event, error) {
	f := fields{Reply: r}
	ev := Event{
		Offset: Offset(f.must("offset")), Kind: EventKind(f.str("kind")), ChatID: f.id("chatId"), At: f.millis("at"),
	}
	switch ev.Kind {
	case EventMessage:
		m, err := decodeMessage(ev.ChatID, r)
		if err != nil {
			return Event{}, err
		}
		ev.Message = &m
	case EventReceipt:
		marks := readMarks(&f)
		ev.Marks = &marks
	case EventMembers, EventChat:
		ev.Version, ev.Seq = f.num("version"), Seq(f.num("seq"))
		ev.Added, ev.Removed = f.strs("added"), f.strs("removed")
	}
	if f.err != nil {
		return Event{}, f.err
	}
	return ev, nil
}
