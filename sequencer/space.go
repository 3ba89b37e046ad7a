package sequencer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// errDiskFull refuses a command that would store something. It is definite, and BUSY: the client tries again, by then
// perhaps at another leader.
var errDiskFull = fmt.Errorf("%w: the leader's disk is nearly full", wire.ErrBusy)

const (
	spaceEvery      = time.Second
	spaceReserved   = "RESERVE"
	minFreeDefault  = 512 << 20 // and at most a tenth of the file system
	maxReserveBytes = 64 << 20
)

// space watches how much room the file system of the data directory has. Below Config.MinFree the disk is low: this node
// refuses what would store something, and hands leadership to nodes that have room. Below a quarter of that it is full: no
// entry is written to a log any more, so that none fails halfway, and the reserve file goes, so that tables can still be
// merged and logs cut. Reads go on. Both end without a restart, when a quarter more than MinFree is free.
type space struct {
	node *Node
	stat func(dir string) (free, total int64, err error)

	low, full atomic.Bool
	tight     atomic.Bool  // less than four times MinFree is free
	free      atomic.Int64 // at the last look
}

func newSpace(n *Node) *space {
	s := &space{node: n, stat: n.cfg.DiskFree}
	if s.stat == nil {
		s.stat = diskFree
	}
	return s
}

// diskFree asks the file system of dir.
func diskFree(dir string) (free, total int64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(fs.Bavail) * fs.Bsize, int64(fs.Blocks) * fs.Bsize, nil
}

// run looks until the node ends.
func (s *space) run() {
	defer s.node.done.Done()
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		s.look()
		s.node.watchHot()
		if s.low.Load() {
			s.handOver()
		}
		select {
		case <-tick.C:
		case <-s.node.closing:
			return
		}
	}
}

// look brings low and full up to date.
func (s *space) look() {
	free, total, err := s.stat(s.node.cfg.Dir)
	if err != nil {
		s.node.log.Warn("watch the disk", "err", err)
		return
	}
	s.free.Store(free)
	mark := s.node.cfg.MinFree
	if mark == 0 {
		mark = min(minFreeDefault, total/10)
	}
	s.tight.Store(free < 4*mark)
	wasLow, wasFull := s.low.Load(), s.full.Load()
	s.low.Store(free < mark || wasLow && free < mark+mark/4)
	s.full.Store(free < mark/4 || wasFull && s.low.Load())
	switch {
	case s.full.Load() && !wasFull:
		s.node.log.Error("the disk is full: nothing is stored until there is room", "free", free, "mark", mark/4)
		s.release()
	case s.low.Load() && !wasLow:
		s.node.log.Error("the disk is nearly full: appends are refused", "free", free, "mark", mark)
	case wasLow && !s.low.Load():
		s.node.log.Info("the disk has room again", "free", free)
	}
	if !s.low.Load() && free > mark+mark/2 {
		s.reserve(min(mark/4, maxReserveBytes))
	}
}

// reserve makes the reserve file where there is none.
func (s *space) reserve(size int64) {
	path := filepath.Join(s.node.cfg.Dir, spaceReserved)
	if _, err := os.Stat(path); err == nil || size <= 0 {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(syscall.Fallocate(int(f.Fd()), 0, 0, size), f.Close())
	}
	if err != nil {
		s.node.log.Warn("reserve room on the disk", "err", err)
	}
}

// release deletes the reserve file.
func (s *space) release() {
	if err := removeIfThere(filepath.Join(s.node.cfg.Dir, spaceReserved)); err != nil {
		s.node.log.Warn("release the reserve", "err", err)
	}
}

// refuses tells whether a command must not be stored now. What makes room, and the cluster map, still may.
func (s *space) refuses(group wire.GroupID, cmd raftfsm.Command) bool {
	if !s.low.Load() || group == wire.MetaGroup {
		return false
	}
	switch cmd.(type) {
	case raftfsm.Expire, raftfsm.AckOutbox, raftfsm.Archived, raftfsm.Forget:
		return false
	}
	return true
}

// handOver gives what this node leads to voters whose nodes have room. Where there are none it keeps it.
func (s *space) handOver() {
	ctx, cancel := context.WithTimeout(s.node.life, 5*time.Second)
	defer cancel()
	for _, h := range s.node.replicas().held() {
		if !h.raft.Serving() {
			continue
		}
		for _, r := range h.raft.Status().Replicas {
			card, ok := s.node.card(r.ID)
			if !ok || card.DiskLow || !r.Voter || r.ID == s.node.cfg.NodeID {
				continue
			}
			if err := h.raft.Transfer(ctx, r.ID); err != nil {
				s.node.log.Info("hand over for want of room", "group", h.id, "err", err)
				continue
			}
			break
		}
	}
}
