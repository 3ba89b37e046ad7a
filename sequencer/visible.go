package sequencer

import (
	"cmp"
	"slices"

	"github.com/quorate/quorate/sequencer/wire"
)

// view is the part of a chat's log that somebody may read: runs with both ends set, ascending, none touching the next.
type view []wire.Interval

// viewOf gives what lies in intervals, of a log that ends at last. Intervals may overlap: one who joined again and reads
// from the start has two that do.
func viewOf(intervals []wire.Interval, last wire.Seq) view {
	var v view
	for _, i := range intervals {
		if i.To == 0 || i.To > last {
			i.To = last
		}
		if i.From = max(i.From, 1); i.From <= i.To {
			v = append(v, i)
		}
	}
	slices.SortFunc(v, func(a, b wire.Interval) int { return cmp.Compare(a.From, b.From) })
	runs := v[:0]
	for _, i := range v {
		if n := len(runs); n > 0 && i.From <= runs[n-1].To+1 {
			runs[n-1].To = max(runs[n-1].To, i.To)
			continue
		}
		runs = append(runs, i)
	}
	return runs
}

// wholeLog is the view of one who may read everything.
func wholeLog(last wire.Seq) view { return viewOf([]wire.Interval{{From: 1}}, last) }

// from gives the first count seqs of v that are not below seq, and the first behind them, 0 where there is none.
func (v view) from(seq wire.Seq, count int) (page view, next wire.Seq) {
	left := wire.Seq(count)
	for _, run := range v {
		if run.To < seq {
			continue
		}
		run.From = max(run.From, seq)
		if left == 0 {
			return page, run.From
		}
		if size := run.To - run.From + 1; size > left {
			return append(page, wire.Interval{From: run.From, To: run.From + left - 1}), run.From + left
		}
		page = append(page, run)
		left -= run.To - run.From + 1
	}
	return page, 0
}

// before gives the last count seqs of v below seq.
func (v view) before(seq wire.Seq, count int) (page view) {
	left := wire.Seq(count)
	for _, run := range slices.Backward(v) {
		if run.From >= seq || left == 0 {
			continue
		}
		run.To = min(run.To, seq-1)
		if run.To-run.From >= left {
			run.From = run.To - left + 1
		}
		page = append(page, run)
		left -= run.To - run.From + 1
	}
	slices.Reverse(page)
	return page
}

// below reports whether v holds a seq below seq.
func (v view) below(seq wire.Seq) bool { return len(v) > 0 && v[0].From < seq }

// covers reports whether v holds seq.
func (v view) covers(seq wire.Seq) bool {
	return slices.ContainsFunc(v, func(run wire.Interval) bool { return run.Covers(seq) })
}

// last gives the highest seq of v, 0 where it is empty.
func (v view) last() wire.Seq {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1].To
}

// since gives the part of v that is not below seq.
func (v view) since(seq wire.Seq) (part view) {
	for _, run := range v {
		if run.From = max(run.From, seq); run.From <= run.To {
			part = append(part, run)
		}
	}
	return part
}

// until gives the part of v that is below seq.
func (v view) until(seq wire.Seq) (part view) {
	for _, run := range v {
		if run.To = min(run.To, seq-1); run.From <= run.To {
			part = append(part, run)
		}
	}
	return part
}
