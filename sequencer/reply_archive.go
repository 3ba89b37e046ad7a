package sequencer

import (
	"encoding/hex"

	"github.com/quorate/quorate/sequencer/wire"
)

// runList tells where runs of a chat's log stand in the archive.
func runList(r *reply, runs []wire.ArchivedRun) {
	r.array(len(runs))
	for i := range runs {
		r.maps(10)
		r.fieldInt("from", int64(runs[i].From))
		r.fieldInt("to", int64(runs[i].To))
		r.fieldInt("row", runs[i].Row)
		segmentFields(r, runs[i].Segment)
	}
}

// segmentFields are the seven fields of an object of the archive.
func segmentFields(r *reply, s *wire.Segment) {
	r.fieldStr("object", s.Key)
	r.fieldInt("size", s.Size)
	r.fieldInt("footerSize", s.FooterSize)
	r.fieldInt("footerCrc", int64(s.FooterCRC))
	r.fieldStr("sha256", hex.EncodeToString(s.SHA256[:]))
	r.fieldInt("rows", s.Rows)
	r.fieldInt("newestAt", int64(s.NewestAt))
}

// reachList tells when members reached messages that are in the archive, as far as the archive does not know.
func reachList(r *reply, all []wire.Reach) {
	r.array(len(all))
	for i := range all {
		m := &all[i]
		r.maps(6)
		r.fieldStr("userId", m.UserID)
		r.field("intervals")
		r.array(2 * len(m.Intervals))
		for _, iv := range m.Intervals {
			r.int(int64(iv.From))
			r.int(int64(iv.To))
		}
		r.fieldInt("deliveredUpTo", int64(m.Delivered))
		r.fieldInt("readUpTo", int64(m.Read))
		riseList(r, "delivered", m.DeliveredRises)
		riseList(r, "read", m.ReadRises)
	}
}

// riseList is a field of seq, time, seq, time …
func riseList(r *reply, name string, rises []wire.Rise) {
	r.field(name)
	r.array(2 * len(rises))
	for _, rise := range rises {
		r.int(int64(rise.Seq))
		r.int(int64(rise.At))
	}
}
