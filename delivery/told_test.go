package delivery

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/delivery/relay"
	"github.com/quorate/quorate/sequencer/wire"
)

func receiptItem(chat, user string, delivered, read wire.Seq) *relay.Item {
	return &relay.Item{Kind: relay.ItemReceipt, ChatID: chat, Marks: wire.Watermarks{UserID: user, Delivered: delivered, Read: read}}
}

func TestTold_OnlyRises(t *testing.T) {
	told := newTold(1000)
	for _, c := range []struct {
		item *relay.Item
		want bool
	}{
		{receiptItem("tea", "ann", 3, 1), true},
		{receiptItem("tea", "ann", 3, 1), true}, // who lost it gets it again
		{receiptItem("tea", "ann", 2, 1), false},
		{receiptItem("tea", "ann", 3, 0), false},
		{receiptItem("tea", "ann", 4, 0), false}, // no state that ever was
		{receiptItem("tea", "bob", 1, 1), true},
		{receiptItem("cake", "ann", 1, 1), true},
		{receiptItem("tea", "ann", 4, 4), true},
	} {
		got := told.begin(c.item)
		if got {
			told.end(c.item)
		}
		if got != c.want {
			t.Errorf("%s in %s at %d/%d: told %v, want %v", c.item.Marks.UserID, c.item.ChatID, c.item.Marks.Delivered, c.item.Marks.Read, got, c.want)
		}
	}
}

// TestTold_IsBounded tells of more members than there is room for: the last are remembered, the first are not.
func TestTold_IsBounded(t *testing.T) {
	const most = 64
	told := newTold(most)
	for n := range 100 * most {
		i := receiptItem("tea", fmt.Sprint(n), 5, 5)
		if !told.begin(i) {
			t.Fatalf("the first receipt of member %d is taken for an old one", n)
		}
		told.end(i)
	}
	s := told.shard("tea")
	if got := len(s.younger) + len(s.older); got > 2*most {
		t.Errorf("%d members are remembered, the bound is %d", got, 2*most)
	}
	if told.begin(receiptItem("tea", fmt.Sprint(100*most-1), 4, 4)) {
		t.Error("the last member of all was forgotten")
	}
}

// TestTold_AFeedThatComesAgain hands a session a piece of a feed twice, as it happens when the feed changes hands.
func TestTold_AFeedThatComesAgain(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	ann, bob := fresh("ann"), fresh("bob")
	id := e.group(ann, bob)
	d := e.dial(ann)
	out := local{srv: e.Server}
	for _, seq := range []wire.Seq{3, 4, 3, 4, 5} {
		p := newPush(*receiptItem(id, bob, seq, seq))
		out.give(p, ann)
		out.give(p, bob)
		out.end(p)
	}
	out.flush()
	var got []int64
	for len(got) == 0 || got[len(got)-1] < 5 {
		got = append(got, number(d.awaitType("receipt")["readUpTo"]))
	}
	if want := []int64{3, 4, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("the receipts came as %v, want %v", got, want)
	}
}
