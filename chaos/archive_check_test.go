//go:build linux

package chaos

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/delivery/deliverytest"
	"github.com/quorate/quorate/sequencer/wire"
)

// findings halts the load and tells all that is wrong: a message that is not where it should be, once; an object that is not as the
// index has it; a replica that tells another story than its leader.
func (a *archiving) findings() (found []error) {
	a.t.Helper()
	a.l.halt()
	note := func(err error) {
		if err != nil {
			found = append(found, err)
		}
	}
	for _, chat := range a.l.chats {
		note(a.checkChat(chat))
	}
	found = append(found, a.checkIndex()...)
	for i := range a.nodes {
		a.awaitCaughtUp(i)
	}
	leader := a.awaitLeaders()[0]
	for _, chat := range a.l.chats {
		want := a.answers(leader, chat)
		for i, n := range a.nodes {
			if i != leader && !reflect.DeepEqual(a.answers(i, chat), want) {
				note(fmt.Errorf("%s: %s does not answer as its leader", chat, n.id))
			}
		}
	}
	return found
}

// checkChat reads a chat wherever its messages are, in pages of any size, and holds it against the record, and what a delivery node shows of it
// against that.
func (a *archiving) checkChat(chat string) error {
	log, err := a.readChat(chat)
	if err != nil {
		return err
	}
	if err := a.l.record.Check(chat, log); err != nil {
		return err
	}
	return a.checkEdge(chat, log)
}

// readChat reads a chat from the sequencers and the store.
func (a *archiving) readChat(chat string) ([]wire.Message, error) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	reader := archive.NewReader(a.store, archive.ReaderConfig{})
	log := []wire.Message{}
	count := 1 + rand.IntN(50)
	for from := wire.Seq(1); from != 0; {
		page, err := a.client.Range(ctx, wire.RangeRequest{ChatID: chat, From: from, Count: count})
		if err != nil {
			return nil, fmt.Errorf("%s: read from %d: %w", chat, from, err)
		}
		for _, run := range page.Runs {
			whole := archive.Range{ChatID: chat, From: run.From, To: run.To, Row: run.Row}
			rows, err := reader.Read(ctx, *run.Segment, whole, run.From, int(run.To-run.From+1))
			if err != nil {
				return nil, fmt.Errorf("%s: read %d to %d of the archive: %w", chat, run.From, run.To, err)
			}
			for i := range rows {
				log = append(log, rows[i].Message)
			}
		}
		log = append(log, page.Messages...)
		from = page.Next
	}
	return log, nil
}

// checkEdge reads a chat through REST, in pages of any size, and compares it with its log.
func (a *archiving) checkEdge(chat string, log []wire.Message) error {
	limit := 1 + rand.IntN(50)
	for at, cursor := 0, wire.Seq(1); cursor != 0; {
		var page struct {
			Messages   []deliverytest.Frame `json:"messages"`
			NextCursor wire.Seq             `json:"nextCursor"`
		}
		path := fmt.Sprintf("/chats/%s/messages?cursor=%d&limit=%d", chat, cursor, limit)
		body, err := a.edge.ask(path, "user-1")
		for deadline := time.Now().Add(settle); err != nil && time.Now().Before(deadline); body, err = a.edge.ask(path, "user-1") {
			time.Sleep(100 * time.Millisecond) // it may not know yet who leads
		}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil {
			return fmt.Errorf("%s: the edge was asked for %s: %w", chat, path, err)
		}
		for i := range page.Messages {
			page.Messages[i].ChatID = chat
			got, err := page.Messages[i].Message()
			if err != nil {
				return fmt.Errorf("%s: the edge shows %+v: %w", chat, page.Messages[i], err)
			}
			want := wire.Message{}
			if at < len(log) {
				want = log[at]
				want.Trace, want.DeliveredAt, want.ReadAt = got.Trace, got.DeliveredAt, got.ReadAt
			}
			if got != want {
				return fmt.Errorf("%s: the edge shows %+v, and the log has %+v", chat, got, want)
			}
			at++
		}
		if cursor = page.NextCursor; cursor == 0 && at != len(log) {
			return fmt.Errorf("%s: the edge shows %d of %d messages", chat, at, len(log))
		}
	}
	return nil
}

// checkIndex reads every object that the index refers to, whole, and finds each line of the index in it. An object that nothing
// refers to is no finding.
func (a *archiving) checkIndex() (found []error) {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	ranges := map[uint64][]archive.Range{}
	for _, r := range a.operate("ARCHIVE", "SEGMENTS", "0").Elems() {
		seg := segmentOf(r)
		_, of, err := archive.Verify(ctx, a.store, seg, nil)
		if err != nil {
			found = append(found, fmt.Errorf("the object %s: %w", seg.Key, err))
			continue
		}
		ranges[r.Field("number").Num()] = of
	}
	for after := []string{}; ; {
		lines := a.operate(append([]string{"ARCHIVE", "INDEX", "0"}, after...)...).Elems()
		for _, r := range lines {
			chat, from, to := r.Field("chatId").Str(), wire.Seq(r.Field("from").Num()), wire.Seq(r.Field("to").Num())
			if !holds(ranges[r.Field("segment").Num()], chat, from, to, int64(r.Field("row").Num())) {
				found = append(found, fmt.Errorf("%s:%d-%d is not where the index says", chat, from, to))
			}
			after = []string{"AFTER", chat, strconv.FormatUint(uint64(from), 10)}
		}
		if len(lines) == 0 {
			return found
		}
	}
}

// holds reports whether a run stands in an object as the index says.
func holds(ranges []archive.Range, chat string, from, to wire.Seq, row int64) bool {
	for _, r := range ranges {
		if r.ChatID == chat && r.From <= from && to <= r.To {
			return r.Row+int64(from-r.From) == row
		}
	}
	return false
}

func segmentOf(r wire.Reply) wire.Segment {
	seg := wire.Segment{
		Key: r.Field("object").Str(), Size: int64(r.Field("size").Num()), FooterSize: int64(r.Field("footerSize").Num()),
		FooterCRC: uint32(r.Field("footerCrc").Num()), Rows: int64(r.Field("rows").Num()), NewestAt: wire.Millis(r.Field("newestAt").Num()),
	}
	sum, err := hex.DecodeString(r.Field("sha256").Str())
	if err != nil || copy(seg.SHA256[:], sum) != len(seg.SHA256) {
		seg.Rows = -1 // no object has that
	}
	return seg
}

// answers is all that one node says of a chat, with nobody asked whether it is the newest.
func (a *archiving) answers(i int, chat string) (all []wire.Reply) {
	a.t.Helper()
	for from := uint64(1); from != 0; {
		var r wire.Reply
		await(a.t, a.nodes[i].id+" to answer", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), settle)
			defer cancel()
			var err error
			r, err = a.client.DoNode(ctx, a.nodes[i].respAddr(), "CHAT.RANGE", chat, fmt.Sprint(from), fmt.Sprint(wire.MaxPage), "STALE")
			return err == nil
		})
		all = append(all, r)
		from = r.Field("next").Num()
	}
	return all
}
