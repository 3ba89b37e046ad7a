package sequencer

import (
	"sync/atomic"
	"time"
)

// hotAlarm says that messages take more room in the hot store than they should, on the node that leads the group. What to do
// about it differs from a full disk: the archive is to be looked at, not the disk.
//
// With Config.HotBytes it is on when the store is a quarter over that, and off when it is a tenth over. Without, it is on while the
// archive is behind and the disk has less than four times what must be free for appends.
type hotAlarm struct{ on atomic.Bool }

// behindRounds is how many rounds an archiver may miss before it is behind.
const behindRounds = 3

// watchHot brings the alarm up to date.
func (a *archiver) watchHot() {
	was := a.hot.on.Load()
	is := a.store != nil && a.host.raft.Serving() && a.tight(was)
	if is == was {
		return
	}
	a.hot.on.Store(is)
	if !is {
		a.log.Info("the hot store has room again")
		return
	}
	a.log.Error("the hot store takes more room than it should: look at the archive", "bytes", a.hotBytes(),
		"limit", a.host.node.cfg.HotBytes, "behind", time.Duration(a.host.archiveLag()*float64(time.Second)).Round(time.Second))
}

func (a *archiver) tight(was bool) bool {
	if limit := a.host.node.cfg.HotBytes; limit > 0 {
		over := a.hotBytes() - limit
		return over > limit/4 || was && over > limit/10
	}
	return a.host.node.space.tight.Load() && a.host.archiveLag() > behindRounds*a.host.node.cfg.ArchiveEvery.Seconds()
}

// hotBytes is the size of the group's store on this node.
func (a *archiver) hotBytes() int64 { return int64(a.host.store().Stats().DiskBytes) }

// watchHot brings the alarms of all groups up to date.
func (n *Node) watchHot() {
	for _, h := range n.replicas().data() {
		h.archiver.watchHot()
	}
}
