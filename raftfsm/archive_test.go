package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// object makes the name of an object in the archive.
func object(key string, rows int64) wire.Segment {
	return wire.Segment{Key: key, Size: 1000, FooterSize: 100, FooterCRC: 7, SHA256: [32]byte{1}, Rows: rows, NewestAt: 20}
}

// cold reads what ColdRows visits of a run, as text.
func cold(t *testing.T, s *Store, run ColdRun) (rows []string, reached uint64) {
	t.Helper()
	to, reached, err := s.ColdRows(run, func(m *wire.Message, receipts []ReachedAt) (bool, error) {
		rows = append(rows, fmt.Sprint(m.Seq, m.Text, receipts))
		return true, nil
	})
	if err != nil || to != run.To {
		t.Fatal(to, err)
	}
	return rows, reached
}

func TestArchive_RunsLeaveTheHotStore(t *testing.T) {
	m := newMachine(t)
	m.one(10, group("c", "ann", "bob"))
	for i := range 10 {
		m.one(wire.Millis(100+10*i), say("c", "ann", fmt.Sprint(i), fmt.Sprint("text ", i+1)))
	}
	m.one(300, Receipt{ChatID: "c", UserID: "bob", Delivered: 4, Read: 2})

	runs, next, err := m.store.ColdRuns("", 150, 1000, 1000, 1000)
	if want := []ColdRun{{"c", 1, 5}}; err != nil || next != "" || !reflect.DeepEqual(runs, want) {
		t.Fatalf("%+v, %q, %v", runs, next, err)
	}
	rows, reached := cold(t, m.store, runs[0])
	want := []string{
		"1text 1[{bob 300 300}]", "2text 2[{bob 300 300}]", "3text 3[{bob 300 0}]", "4text 4[{bob 300 0}]", "5text 5[]",
	}
	if !reflect.DeepEqual(rows, want) || reached != 6 {
		t.Fatalf("%q, reached %d", rows, reached)
	}

	for enough, want := range map[wire.Seq]uint64{1: 2, 3: 5, 5: 6} {
		to, reached, err := m.store.ColdRows(runs[0], func(m *wire.Message, _ []ReachedAt) (bool, error) { return m.Seq < enough, nil })
		if to != enough || reached != want || err != nil {
			t.Errorf("up to %d: %d, reached %d, %v", enough, to, reached, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := m.store.ColdRows(runs[0], func(*wire.Message, []ReachedAt) (bool, error) { return true, broken }); !errors.Is(err, broken) || m.store.failure.failed() != nil {
		t.Errorf("a visitor that fails: %v, %v", err, m.store.failure.failed())
	}

	archive := Archived{Term: 1, Segment: object("one", 9), Runs: []ArchivedRun{{ChatID: "c", From: 1, To: 5, Row: 4, Reached: reached}}}
	if r := m.one(400, archive); r.Value != 1 {
		t.Fatalf("%d runs were taken over", r.Value)
	}
	if r := m.one(401, archive); r.Value != 0 {
		t.Errorf("the same again: %d runs", r.Value)
	}
	head, err := m.store.Head("c")
	if err != nil || head.HotFrom != 6 || head.LastSeq != 10 {
		t.Errorf("%+v, %v", head, err)
	}
	if hot, err := m.store.Range("c", 1, 100); err != nil || len(hot) != 5 || hot[0].Seq != 6 {
		t.Errorf("%d messages are hot: %v", len(hot), err)
	}
	found, err := m.store.ArchivedRuns("c", 2, 8)
	if err != nil || len(found) != 1 || found[0].From != 2 || found[0].To != 5 || found[0].Row != 5 || *found[0].Segment != archive.Segment {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := m.store.ReceiptsOf("c", 3); !errors.Is(err, wire.ErrArchived) {
		t.Errorf("receipts of an archived message: %v", err)
	}
	if r := m.one(500, say("c", "ann", "2", "text 3")); !r.Append.Replayed || r.Append.Seq != 3 {
		t.Errorf("a retry after the archival: %+v", r.Append)
	}
	if _, _, err := m.store.Feed(2, 10, 1<<20); err != nil && !errors.Is(err, wire.ErrTrimmed) {
		t.Errorf("the feed of archived messages: %v", err)
	}
	if _, _, err := m.store.ColdRows(runs[0], nil); !errors.Is(err, wire.ErrTryAgain) {
		t.Errorf("rows of a run that has gone: %v", err)
	}
}

func TestArchive_WhatDoesNotFitChangesNothing(t *testing.T) {
	m := newMachine(t)
	m.one(10, group("c", "ann"))
	for i := range 6 {
		m.one(20, say("c", "ann", fmt.Sprint(i), "x"))
	}
	m.one(30, Archived{Term: 1, Segment: object("one", 2), Runs: []ArchivedRun{{ChatID: "c", From: 1, To: 2}}})
	m.one(30, Archived{Term: 1, Segment: object("two", 2), Runs: []ArchivedRun{{ChatID: "c", From: 3, To: 4}}})
	before := dump(t, m.store)
	for what, run := range map[string]ArchivedRun{
		"behind a hole": {ChatID: "c", From: 6, To: 6}, "over the border": {ChatID: "c", From: 4, To: 5}, "part of a run": {ChatID: "c", From: 1, To: 1},
		"the middle of two": {ChatID: "c", From: 2, To: 3}, "no such chat": {ChatID: "d", From: 1, To: 1}, "beyond the head": {ChatID: "c", From: 5, To: 7},
		"upside down": {ChatID: "c", From: 5, To: 4}, "seq 0": {ChatID: "c", From: 0, To: 1}, "rows that the object has not": {ChatID: "c", From: 5, To: 5, Row: 9},
		"rows beyond counting": {ChatID: "c", From: 5, To: 5, Row: 1<<64 - 1},
	} {
		if r := m.one(40, Archived{Term: 1, Segment: object("three", 9), Runs: []ArchivedRun{run}}); r.Value != 0 {
			t.Errorf("%s was taken over", what)
		}
	}
	if r := m.do(40, Archived{Term: 2, Segment: object("three", 9), Runs: []ArchivedRun{{ChatID: "c", From: 5, To: 5}}})[0]; !errors.Is(r.Err, wire.ErrConflict) {
		t.Errorf("of another term: %+v", r)
	}
	if r := m.do(40, Archived{Term: 1, Segment: object("three", 9)})[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
		t.Errorf("no runs: %+v", r)
	}
	if after := dump(t, m.store); withoutMeta(after) != withoutMeta(before) {
		t.Errorf("the state changed:\n%s\nwas\n%s", after, before)
	}
}

// withoutMeta drops the record that every entry changes from a dump.
func withoutMeta(dump string) string {
	for i, c := range dump {
		if c == '\n' {
			return dump[i:]
		}
	}
	return dump
}

func TestArchive_ANewObjectReplacesWholeRuns(t *testing.T) {
	m := newMachine(t)
	m.one(10, group("c", "ann"))
	for i := range 8 {
		m.one(20, say("c", "ann", fmt.Sprint(i), "x"))
	}
	for i, run := range []ArchivedRun{{From: 1, To: 2}, {From: 3, To: 3}, {From: 4, To: 6}} {
		run.ChatID = "c"
		m.one(30, Archived{Term: 1, Segment: object(fmt.Sprint("small ", i), 3), Runs: []ArchivedRun{run}})
	}
	merged := Archived{Term: 1, Segment: object("merged", 3), Runs: []ArchivedRun{{ChatID: "c", From: 1, To: 3}}}
	if r := m.one(40, merged); r.Value != 1 {
		t.Fatal("the merged run was not taken over")
	}
	if r := m.one(41, merged); r.Value != 0 {
		t.Error("the same again was taken over")
	}
	segments, err := m.store.Segments(0, 10)
	if err != nil || len(segments) != 2 || segments[0].Segment.Key != "small 2" || segments[1].Segment.Key != "merged" || segments[1].Live != 3 {
		t.Errorf("%+v, %v", segments, err)
	}
	lines, err := m.store.ArchiveIndex(IndexLine{}, 10)
	want := []IndexLine{{"c", 1, 3, 0, segments[1].Number}, {"c", 4, 6, 0, segments[0].Number}}
	if err != nil || !reflect.DeepEqual(lines, want) {
		t.Errorf("%+v, %v", lines, err)
	}
	if rest, err := m.store.ArchiveIndex(lines[0], 10); err != nil || !reflect.DeepEqual(rest, want[1:]) {
		t.Errorf("behind the first: %+v, %v", rest, err)
	}
}

func TestArchive_TimesThatCameMeanwhileAreKept(t *testing.T) {
	m := newMachine(t)
	m.one(10, group("c", "ann", "bob"))
	for i := range 6 {
		m.one(20, say("c", "ann", fmt.Sprint(i), "x"))
	}
	m.one(30, Receipt{ChatID: "c", UserID: "bob", Delivered: 2, Read: 2})
	_, reached := cold(t, m.store, ColdRun{"c", 1, 3})
	m.one(31, Receipt{ChatID: "c", UserID: "bob", Delivered: 3}) // not in the object
	m.one(32, Archived{Term: 1, Segment: object("one", 3), Runs: []ArchivedRun{{ChatID: "c", From: 1, To: 3, Reached: reached}}})
	reaches := func(first, last wire.Seq) wire.Reach {
		chat, err := m.store.Chat("c")
		if err != nil {
			t.Fatal(err)
		}
		all, err := m.store.Reaches(chat, first, last)
		if err != nil || len(all) != 2 || all[1].UserID != "bob" {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[1]
	}
	bob := reaches(1, 3)
	if want := []wire.Rise{{Seq: 2, At: 30}, {Seq: 3, At: 31}}; !reflect.DeepEqual(bob.DeliveredRises, want) {
		t.Errorf("delivered: %+v", bob.DeliveredRises)
	}
	if want := []wire.Rise{{Seq: 2, At: 30}}; !reflect.DeepEqual(bob.ReadRises, want) {
		t.Errorf("read: %+v", bob.ReadRises)
	}

	_, reached = cold(t, m.store, ColdRun{"c", 4, 5})
	m.one(33, Archived{Term: 1, Segment: object("two", 3), Runs: []ArchivedRun{{ChatID: "c", From: 4, To: 5, Reached: reached}}})
	m.one(40, Receipt{ChatID: "c", UserID: "bob", Delivered: 5, Read: 4})
	bob = reaches(1, 4)
	if want := []wire.Rise{{Seq: 2, At: 30}, {Seq: 3, At: 31}, {Seq: 5, At: 40}}; !reflect.DeepEqual(bob.DeliveredRises, want) || bob.Read != 4 {
		t.Errorf("after the archival: %+v", bob)
	}
}

// TestArchive_TimesAreInOneOfTwoPlaces has members read here and there while runs of all lengths are archived: for each message
// and member the archive has the time, or else the hot store does. Where all read at once, nothing of it stays hot.
func TestArchive_TimesAreInOneOfTwoPlaces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := tempMachine(t)
		defer m.discard()
		users := []string{"ann", "bob", "cid"}
		m.one(1, group("c", users...))
		now, last := wire.Millis(10), wire.Seq(0)
		truth, stored := map[string]wire.Millis{}, map[string]wire.Millis{} // of user and seq
		at := map[string]wire.Seq{}
		read := func(user string, to wire.Seq) {
			now++
			m.one(now, Receipt{ChatID: "c", UserID: user, Delivered: to})
			for ; at[user] < to; at[user]++ {
				truth[fmt.Sprint(user, at[user]+1)] = now
			}
		}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				now++
				last = m.one(now, say("c", "ann", fmt.Sprint("m", last), "x")).Append.Seq
			case 2:
				if last > 0 {
					read(rapid.SampledFrom(users[1:]).Draw(rt, "reader"), wire.Seq(rapid.Uint64Range(1, uint64(last)).Draw(rt, "to")))
				}
			case 3:
				head, err := m.store.Head("c")
				if err != nil || head.HotFrom >= last {
					continue
				}
				run := ColdRun{"c", head.HotFrom, wire.Seq(rapid.Uint64Range(uint64(head.HotFrom), uint64(last-1)).Draw(rt, "run to"))}
				_, reached, err := m.store.ColdRows(run, func(msg *wire.Message, receipts []ReachedAt) (bool, error) {
					for _, r := range receipts {
						stored[fmt.Sprint(r.UserID, msg.Seq)] = r.DeliveredAt
					}
					return true, nil
				})
				if err != nil {
					rt.Fatal(err)
				}
				if rapid.IntRange(0, 3).Draw(rt, "read meanwhile") == 0 {
					read("bob", last)
				}
				now++
				m.one(now, Archived{Term: 1, Segment: object(fmt.Sprint("o", now), 1000), Runs: []ArchivedRun{{ChatID: "c", From: run.From, To: run.To, Reached: reached}}})
			}
		}
		if last == 0 {
			return
		}
		chat, err := m.store.Chat("c")
		if err != nil {
			rt.Fatal(err)
		}
		reach, err := m.store.Reaches(chat, 1, last)
		if err != nil {
			rt.Fatal(err)
		}
		for _, user := range reach[1:] {
			for seq := wire.Seq(1); seq <= user.Delivered; seq++ {
				name := fmt.Sprint(user.UserID, seq)
				got := stored[name]
				for i := 0; got == 0 && i < len(user.DeliveredRises); i++ {
					if user.DeliveredRises[i].Seq >= seq {
						got = user.DeliveredRises[i].At
					}
				}
				if got != truth[name] {
					rt.Fatalf("%s reached %d at %d, not %d: %+v", user.UserID, seq, truth[name], got, user)
				}
			}
		}
	})
}

func TestArchive_TimesThatAreArchivedLeaveTheHotStore(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "ann", "bob"))
	for i := range 60 {
		seq := m.one(wire.Millis(10+i), say("c", "ann", fmt.Sprint(i), "x")).Append.Seq
		m.one(wire.Millis(10+i), Receipt{ChatID: "c", UserID: "bob", Delivered: seq, Read: seq})
		if i%10 == 9 {
			head, err := m.store.Head("c")
			if err != nil {
				t.Fatal(err)
			}
			run := ColdRun{"c", head.HotFrom, seq - 1}
			_, reached := cold(t, m.store, run)
			m.one(100, Archived{Term: 1, Segment: object(fmt.Sprint(i), 1000), Runs: []ArchivedRun{{ChatID: "c", From: run.From, To: run.To, Reached: reached}}})
		}
	}
	chat, err := m.store.Chat("c")
	if err != nil {
		t.Fatal(err)
	}
	reach, err := m.store.Reaches(chat, 1, 60)
	if err != nil || len(reach[1].DeliveredRises) != 1 || len(reach[1].ReadRises) != 1 {
		t.Errorf("%+v, %v", reach[1], err)
	}
}

func TestArchive_WhatIsForgottenIsGone(t *testing.T) {
	m := newMachine(t)
	m.one(10, group("c", "ann"))
	for i := range 8 {
		m.one(20, say("c", "ann", fmt.Sprint(i), "x"))
	}
	m.one(30, Archived{Term: 1, Segment: object("one", 2), Runs: []ArchivedRun{{ChatID: "c", From: 1, To: 2}}})
	m.one(30, Archived{Term: 1, Segment: object("two", 2), Runs: []ArchivedRun{{ChatID: "c", From: 3, To: 4}}})
	if r := m.one(40, Forget{ChatID: "c", Through: 3}); r.Value != 3 {
		t.Errorf("the log begins at %d: a run of which a part is kept stays", r.Value)
	}
	if r := m.one(41, Forget{ChatID: "c", Through: 6}); r.Value != 7 {
		t.Errorf("the log begins at %d", r.Value)
	}
	if r := m.do(42, Forget{ChatID: "c", Through: 8})[0]; !errors.Is(r.Err, wire.ErrBadRequest) {
		t.Errorf("the last message: %+v", r)
	}
	if segments, err := m.store.Segments(0, 9); err != nil || len(segments) > 0 {
		t.Errorf("%+v, %v", segments, err)
	}
	if hot, err := m.store.Range("c", 1, 9); err != nil || len(hot) != 2 || hot[0].Seq != 7 {
		t.Errorf("%d messages, %v", len(hot), err)
	}
	m.one(50, Retain{ChatID: "c", Own: true, For: 1000})
	if r, err := m.store.Retention("c"); err != nil || r != (Retention{First: 7, Own: true, For: 1000}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestArchive_ColdRunsAreBounded(t *testing.T) {
	m := newMachine(t)
	for c := range 5 {
		id := fmt.Sprint("c", c)
		m.one(10, group(id, "ann"))
		for i := range 6 {
			m.one(20, say(id, "ann", fmt.Sprint(i), "x"))
		}
	}
	for _, step := range []struct {
		behind         string
		run            wire.Seq
		messages, look int
		chats          int
		to             wire.Seq
		next           string
	}{
		{"", 100, 100, 100, 5, 5, ""}, {"", 3, 100, 100, 5, 3, ""}, {"", 100, 6, 100, 2, 5, "c1"}, {"c1", 100, 100, 2, 2, 5, "c3"}, {"c3", 100, 100, 100, 1, 5, ""},
	} {
		runs, next, err := m.store.ColdRuns(step.behind, 21, step.run, step.messages, step.look)
		if err != nil || len(runs) != step.chats || next != step.next || runs[0].To != step.to {
			t.Errorf("%+v: %+v, %q, %v", step, runs, next, err)
		}
	}
	if runs, _, err := m.store.ColdRuns("", 20, 9, 99, 99); err != nil || len(runs) > 0 {
		t.Errorf("all are too young: %+v, %v", runs, err)
	}
}

// Whatever is archived, replaced and forgotten: each chat's log is the kept archive and the hot store behind it, without a
// hole, and each segment counts what refers to it.
func TestArchive_NothingIsInNeitherPlace(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := tempMachine(t)
		defer m.discard()
		for range rapid.IntRange(1, 30).Draw(rt, "entries") {
			m.do(100, rapid.SliceOfN(rapid.Custom(drawCommand), 1, 6).Draw(rt, "commands")...)
		}
		segments, err := m.store.Segments(0, 1000)
		if err != nil {
			rt.Fatal(err)
		}
		live := map[uint64]uint64{}
		lines, err := m.store.ArchiveIndex(IndexLine{}, 1000)
		if err != nil {
			rt.Fatal(err)
		}
		for _, l := range lines {
			live[l.Segment] += uint64(l.To - l.From + 1)
		}
		for _, s := range segments {
			if live[s.Number] != s.Live {
				rt.Fatalf("segment %d counts %d messages, and %d refer to it", s.Number, s.Live, live[s.Number])
			}
		}
		for _, chatID := range []string{"c1", "c2", "c3"} {
			head, err := m.store.Head(chatID)
			if errors.Is(err, wire.ErrNoChat) {
				continue
			}
			kept, kerr := m.store.Retention(chatID)
			if err := errors.Join(err, kerr); err != nil {
				rt.Fatal(err)
			}
			at := kept.First
			runs, err := m.store.ArchivedRuns(chatID, kept.First, wire.MaxSeq)
			if err != nil {
				rt.Fatal(err)
			}
			for _, run := range runs {
				if run.From != at {
					rt.Fatalf("%s: a run from %d where %d should be", chatID, run.From, at)
				}
				at = run.To + 1
			}
			hot, err := m.store.Range(chatID, 1, 1000)
			if err != nil || at != head.HotFrom || head.LastSeq+1-head.HotFrom != wire.Seq(len(hot)) {
				rt.Fatalf("%s: archived to %d, hot from %d to %d, %d messages: %v", chatID, at, head.HotFrom, head.LastSeq, len(hot), err)
			}
		}
	})
}
