package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
)

// decodeRuns reads where the messages of a page are in the archive. Runs of the same object share its Segment.
func decodeRuns(f *fields) []ArchivedRun {
	list := f.list("runs")
	runs := make([]ArchivedRun, len(list))
	for i := range list {
		m := fields{Reply: list[i]}
		run := ArchivedRun{From: Seq(m.must("from")), To: Seq(m.must("to")), Row: int64(m.atMost("row", math.MaxInt64)), Segment: decodeSegment(&m)}
		switch {
		case m.err != nil:
		case run.From > run.To || run.To > MaxSeq || run.Row+int64(run.To-run.From) >= run.Segment.Rows:
			m.fail("to", fmt.Errorf("%d to %d from row %d of %d", run.From, run.To, run.Row, run.Segment.Rows))
		case i > 0 && run.From <= runs[i-1].To:
			m.fail("from", fmt.Errorf("%d after %d", run.From, runs[i-1].To))
		case i > 0 && *run.Segment == *runs[i-1].Segment:
			run.Segment = runs[i-1].Segment
		}
		if m.err != nil {
			f.fail("runs", m.err)
			return nil
		}
		runs[i] = run
	}
	return runs
}

func decodeSegment(f *fields) *Segment {
	s := &Segment{
		Key: f.str("object"), Size: int64(f.atMost("size", math.MaxInt64)), FooterSize: int64(f.atMost("footerSize", math.MaxInt64)),
		FooterCRC: uint32(f.atMost("footerCrc", math.MaxUint32)), Rows: int64(f.atMost("rows", math.MaxInt64)),
		NewestAt: f.millis("newestAt"),
	}
	sum, err := hex.DecodeString(f.str("sha256"))
	if err != nil || len(sum) != len(s.SHA256) || s.Key == "" {
		f.fail("object", errors.New("no name or no checksum"))
		return s
	}
	copy(s.SHA256[:], sum)
	return s
}

// atMost is num with a bound.
func (f *fields) atMost(name string, limit uint64) uint64 {
	n := f.num(name)
	if n > limit {
		f.fail(name, fmt.Errorf("%d is too large", n))
		return 0
	}
	return n
}

func decodeReach(f *fields) []Reach {
	list := f.list("reach")
	if len(list) > MaxMembers {
		f.fail("reach", fmt.Errorf("%d members", len(list)))
		return nil
	}
	all := make([]Reach, len(list))
	for i := range list {
		m := fields{Reply: list[i]}
		all[i] = Reach{
			Member:    Member{UserID: m.id("userId"), Intervals: decodeIntervals(&m, m.Field("intervals"))},
			Delivered: Seq(m.num("deliveredUpTo")), Read: Seq(m.num("readUpTo")),
			DeliveredRises: decodeRises(&m, "delivered"), ReadRises: decodeRises(&m, "read"),
		}
		if m.err != nil {
			f.fail("reach", m.err)
			return nil
		}
	}
	return all
}

// decodeRises reads seq, time, seq, time …, ascending.
func decodeRises(f *fields, name string) []Rise {
	list := f.list(name)
	if len(list)%2 != 0 {
		f.fail(name, errors.New("a seq without its time"))
		return nil
	}
	rises := make([]Rise, len(list)/2)
	for i := range rises {
		seq, err := list[2*i].Uint()
		at, timeErr := list[2*i+1].Uint()
		if err = errors.Join(err, timeErr); err != nil || Seq(seq) > MaxSeq || at > uint64(MaxSeq) || i > 0 && Seq(seq) <= rises[i-1].Seq {
			f.fail(name, errors.Join(err, errors.New("not ascending seqs with their times")))
			return nil
		}
		rises[i] = Rise{Seq: Seq(seq), At: Millis(at)}
	}
	return rises
}
