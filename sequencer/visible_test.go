package sequencer

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/sequencer/wire"
)

// holed is the view of one who was a member for 3..5, 9..9 and from 12 on, in a chat of 20 messages.
var holed = viewOf([]wire.Interval{{From: 3, To: 5}, {From: 9, To: 9}, {From: 12}}, 20)

func TestView_Normal(t *testing.T) {
	for _, tt := range []struct {
		intervals []wire.Interval
		last      wire.Seq
		want      string
	}{
		{[]wire.Interval{{From: 1}}, 5, "[{1 5}]"},
		{[]wire.Interval{{From: 1}}, 0, "[]"},
		{[]wire.Interval{{From: 6}}, 5, "[]"}, // joined, nothing said since
		{[]wire.Interval{{From: 3, To: 5}, {From: 9, To: 9}, {From: 12}}, 20, "[{3 5} {9 9} {12 20}]"},
		{[]wire.Interval{{From: 1, To: 10}, {From: 1}}, 20, "[{1 20}]"}, // left and came again, reads from the start
		{[]wire.Interval{{From: 1, To: 4}, {From: 5}}, 9, "[{1 9}]"},    // left and came again at once
		{[]wire.Interval{{From: 4, To: 3}, {From: 7}}, 9, "[{7 9}]"},    // joined and left in silence
		{[]wire.Interval{{From: 2, To: 90}}, 9, "[{2 9}]"},              // never beyond the end
		{[]wire.Interval{{From: 5, To: 6}, {From: 1, To: 2}}, 9, "[{1 2} {5 6}]"},
	} {
		if got := fmt.Sprint(viewOf(tt.intervals, tt.last)); got != tt.want {
			t.Errorf("%v of %d: %s, want %s", tt.intervals, tt.last, got, tt.want)
		}
	}
}

func TestView_PagesFrom(t *testing.T) {
	for _, tt := range []struct {
		view  view
		seq   wire.Seq
		count int
		want  string
		next  wire.Seq
	}{
		{holed, 1, 500, "[{3 5} {9 9} {12 20}]", 0},
		{holed, 1, 2, "[{3 4}]", 5},
		{holed, 1, 3, "[{3 5}]", 9}, // the page ends before a hole: next is behind it
		{holed, 6, 1, "[{9 9}]", 12},
		{holed, 9, 2, "[{9 9} {12 12}]", 13},
		{holed, 20, 1, "[{20 20}]", 0},
		{holed, 12, 9, "[{12 20}]", 0}, // exactly the rest
		{holed, 21, 5, "[]", 0},
		{holed, wire.MaxSeq, 500, "[]", 0},
		{nil, 1, 5, "[]", 0},
		{wholeLog(3), 1, 3, "[{1 3}]", 0},
		{wholeLog(4), 1, 3, "[{1 3}]", 4},
	} {
		page, next := tt.view.from(tt.seq, tt.count)
		if got := fmt.Sprint(page); got != tt.want || next != tt.next {
			t.Errorf("%v from %d, %d: %s next %d, want %s next %d", tt.view, tt.seq, tt.count, got, next, tt.want, tt.next)
		}
	}
}

func TestView_PagesBefore(t *testing.T) {
	for _, tt := range []struct {
		view  view
		seq   wire.Seq
		count int
		want  string
	}{
		{holed, wire.MaxSeq, 500, "[{3 5} {9 9} {12 20}]"},
		{holed, wire.MaxSeq, 2, "[{19 20}]"},
		{holed, 12, 1, "[{9 9}]"},
		{holed, 12, 2, "[{5 5} {9 9}]"},
		{holed, 4, 5, "[{3 3}]"},
		{holed, 3, 5, "[]"},
		{holed, 1, 5, "[]"},
		{nil, 9, 5, "[]"},
	} {
		if got := fmt.Sprint(tt.view.before(tt.seq, tt.count)); got != tt.want {
			t.Errorf("%v before %d, %d: %s, want %s", tt.view, tt.seq, tt.count, got, tt.want)
		}
	}
}

// TestView_PagesAreTheWholeView walks any view in both directions and looks that each seq comes once, in order.
func TestView_PagesAreTheWholeView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := wire.Seq(rapid.IntRange(0, 60).Draw(t, "last"))
		intervals := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Interval {
			return wire.Interval{
				From: wire.Seq(rapid.IntRange(0, 70).Draw(t, "from")), To: wire.Seq(rapid.IntRange(0, 70).Draw(t, "to")),
			}
		}), 0, 6).Draw(t, "intervals")
		count := rapid.IntRange(1, 9).Draw(t, "count")
		member := wire.Member{Intervals: intervals}
		var want []wire.Seq
		for seq := wire.Seq(1); seq <= last; seq++ {
			if member.Covers(seq) {
				want = append(want, seq)
			}
		}
		v := viewOf(intervals, last)
		var up []wire.Seq
		for seq := wire.Seq(1); seq != 0; {
			var page view
			page, seq = v.from(seq, count)
			up = append(up, seqsOf(t, page, count)...)
		}
		var down []wire.Seq
		for seq := wire.MaxSeq; ; {
			page := v.before(seq, count)
			if len(page) == 0 {
				break
			}
			down = append(seqsOf(t, page, count), down...)
			seq = page[0].From
		}
		if !slices.Equal(up, want) || !slices.Equal(down, want) {
			t.Fatalf("view %v: up %v, down %v, want %v", v, up, down, want)
		}
	})
}

func seqsOf(t *rapid.T, page view, most int) (seqs []wire.Seq) {
	for _, run := range page {
		for seq := run.From; seq <= run.To; seq++ {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) > most {
		t.Fatalf("a page of %d, at most %d were asked for", len(seqs), most)
	}
	return seqs
}
