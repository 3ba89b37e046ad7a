package raftfsm

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

func TestFSM_WatermarksRiseAndKeepTheirTimes(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b", "z"))
	for i := range 10 {
		m.one(10, say("c", "a", fmt.Sprint(i), "x"))
	}
	m.one(20, Receipt{ChatID: "c", UserID: "b", Delivered: 4})
	m.one(30, Receipt{ChatID: "c", UserID: "b", Delivered: 8, Read: 2})
	got := m.one(40, Receipt{ChatID: "c", UserID: "b", Delivered: 3, Read: 6}).Marks
	if want := (wire.Watermarks{UserID: "b", Delivered: 8, Read: 6, DeliveredAt: 30, ReadAt: 40}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	head, _ := m.store.FeedHead()
	m.one(50, Receipt{ChatID: "c", UserID: "b", Delivered: 8, Read: 6})
	if now, _ := m.store.FeedHead(); now != head {
		t.Fatal("a receipt that changes nothing is told")
	}
	m.one(60, Receipt{ChatID: "c", UserID: "z", Read: 5})
	chat, _ := m.store.Chat("c")
	page, _ := m.store.Range("c", 1, 10)
	if err := m.store.Times(chat, page); err != nil {
		t.Fatal(err)
	}
	var delivered, read []wire.Millis
	for _, p := range page {
		delivered, read = append(delivered, p.DeliveredAt), append(read, p.ReadAt)
	}
	if want := []wire.Millis{60, 60, 60, 60, 60, 0, 0, 0, 0, 0}; !reflect.DeepEqual(delivered, want) {
		t.Errorf("delivered %v, want %v", delivered, want)
	}
	if want := []wire.Millis{60, 60, 60, 60, 60, 0, 0, 0, 0, 0}; !reflect.DeepEqual(read, want) {
		t.Errorf("read %v, want %v", read, want)
	}
	of, err := m.store.ReceiptsOf("c", 3)
	if err != nil || len(of) != 2 || of[0].DeliveredAt != 20 || of[0].ReadAt != 40 || of[1].ReadAt != 60 {
		t.Errorf("receipts of 3: %+v, %v", of, err)
	}
	for _, bad := range []Receipt{{ChatID: "c", UserID: "b", Delivered: 11}, {ChatID: "c", UserID: "b", Read: 1 << 63}} {
		if err := m.do(70, bad)[0].Err; !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := m.do(70, Receipt{ChatID: "c", UserID: "q", Read: 1})[0].Err; !errors.Is(err, wire.ErrNotMember) {
		t.Errorf("a stranger's receipt: %v", err)
	}
}

// One who comes back has not reached what he missed before he left, although his watermark now stands beyond it.
func TestStore_TimesOfOneWhoCameBack(t *testing.T) {
	m := newMachine(t)
	m.one(1, group("c", "a", "b", "z"))
	for i := range 4 {
		m.one(10, say("c", "a", fmt.Sprint(i), "x"))
		if i == 1 {
			m.one(20, Receipt{ChatID: "c", UserID: "b", Read: 1})
			m.one(20, ChangeMembers{ChatID: "c", Remove: []string{"b"}})
		}
	}
	m.one(30, Receipt{ChatID: "c", UserID: "z", Read: 4})
	read := func() (at []wire.Millis) {
		chat, err := m.store.Chat("c")
		if err != nil {
			t.Fatal(err)
		}
		page, err := m.store.Range("c", 1, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.store.Times(chat, page); err != nil {
			t.Fatal(err)
		}
		for _, p := range page {
			at = append(at, p.ReadAt)
		}
		return at
	}
	if got, want := read(), []wire.Millis{30, 30, 30, 30}; !reflect.DeepEqual(got, want) {
		t.Fatalf("while he is away: %v, want %v", got, want)
	}
	m.one(40, ChangeMembers{ChatID: "c", Add: []string{"b"}})
	if got, want := read(), []wire.Millis{30, 0, 30, 30}; !reflect.DeepEqual(got, want) {
		t.Fatalf("back again: %v, want %v", got, want)
	}
	m.one(50, say("c", "a", "5", "x"))
	m.one(60, Receipt{ChatID: "c", UserID: "b", Read: 5})
	if got, want := read(), []wire.Millis{30, 60, 30, 30, 0}; !reflect.DeepEqual(got, want) {
		t.Fatalf("he has read on: %v, want %v", got, want)
	}
}
