// Package follow keeps up with the feeds of groups: whoever reads them from any replica, and shares them out between nodes by leases,
// does it in this way.
package follow

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// Reader reads one group's feed from any replica. The feed is the same on all replicas, so a reader that changes the replica goes on at its
// offset. One goroutine may use it at a time.
type Reader struct {
	Next wire.Offset // the offset to read

	cfg     Config
	group   wire.GroupID
	log     *slog.Logger
	turn    int       // picks the replica; 0 is the leader
	turned  time.Time // when it did so last
	node    string    // that conn is to
	conn    *wire.FeedConn
	asked   int         // counts the looks at other replicas
	witness string      // the replica that was looked at last
	suspect wire.Offset // what it had when this one had nothing more; 0: no doubt
	failed  int         // reads in a row
}

// Config is what the readers of one owner have in common.
type Config struct {
	Seq    *wire.Client
	Events int           // in one read
	Wait   time.Duration // of one read for an event
	Counts *Counts
}

// Counts tells how the reading goes, of all readers that share it.
type Counts struct {
	Failures atomic.Uint64 // reads that failed; another replica is asked then
	Silences atomic.Uint64 // replicas left because their feed stood still while another's went on
	Late     atomic.Int64  // readers that cannot read at present
}

// NewReader makes a reader that begins at next. Close it.
func NewReader(cfg Config, g wire.GroupID, next wire.Offset, log *slog.Logger) *Reader {
	return &Reader{Next: next, cfg: cfg, group: g, log: log}
}

// leaderAgain is how long a reader stays with a replica that it went to for want of the leader.
const leaderAgain = 2 * time.Second

// replica is the node to read from: the leader, or while that does not answer another one. A replica that does not lead learns that an entry
// is committed with the next one, or up to 400 ms later; and a leader has no more than one reader in each region.
func (r *Reader) replica() string {
	nodes := r.cfg.Seq.ReplicasOf(r.group)
	if len(nodes) == 0 {
		return ""
	}
	return nodes[uint(r.turn)%uint(len(nodes))]
}

// Head gives the present end of the feed and the first event that is still held, by whichever replica answers first.
func (r *Reader) Head(ctx context.Context) (next, floor wire.Offset, err error) {
	err = wire.ErrClusterDown
	for range r.cfg.Seq.ReplicasOf(r.group) {
		if next, floor, err = r.cfg.Seq.FeedHead(ctx, r.replica(), r.group); err == nil {
			return next, floor, nil
		}
		r.turn++
	}
	return 0, 0, err
}

// ToHead sets the position to the present end of the feed.
func (r *Reader) ToHead(ctx context.Context) error {
	next, _, err := r.Head(ctx)
	if err == nil {
		r.Next = next
	}
	return err
}

// feedSilence is how late the answer to a read may come. A node that is later than that stands still.
const feedSilence = time.Second

// Read asks the replica once for what comes at Next and after, over a connection that stays open while the replica does. wire.ErrTrimmed
// is that the feed no longer holds it. After another error Failed has to be called, and after none Advance.
func (r *Reader) Read(ctx context.Context) (events []wire.Event, next wire.Offset, err error) {
	return r.read(ctx, r.Next, r.cfg.Wait)
}

// More asks for what comes behind an offset that Read or More has answered, and waits for it no longer than wait. It is not told when it fails:
// the next Read is.
func (r *Reader) More(ctx context.Context, behind wire.Offset, wait time.Duration) (events []wire.Event, next wire.Offset, err error) {
	return r.read(ctx, behind, wait)
}

func (r *Reader) read(ctx context.Context, from wire.Offset, wait time.Duration) (events []wire.Event, next wire.Offset, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+feedSilence)
	defer cancel()
	if node := r.replica(); node != r.node || r.conn == nil {
		r.Close()
		if node == "" {
			return nil, 0, wire.ErrClusterDown
		}
		if r.conn, err = r.cfg.Seq.OpenFeed(ctx, node); err != nil {
			r.conn = nil
			return nil, 0, err
		}
		r.node = node
	}
	events, next, err = r.conn.Read(ctx, r.group, from, r.cfg.Events, wait)
	if err == nil && next < from {
		err = fmt.Errorf("feed of group %d went back from %d to %d", r.group, from, next)
	}
	if err == nil {
		r.works()
	}
	return events, next, err
}

// Close ends the connection. The reader may be used again.
func (r *Reader) Close() {
	if r.conn != nil {
		_ = r.conn.Close() // nothing is lost: the offset is here
		r.conn = nil
	}
}

// Failed pauses after a read that failed, longer each time, and turns to another replica.
func (r *Reader) Failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	r.turn++
	r.turned = time.Now()
	r.Close()
	r.cfg.Counts.Failures.Add(1)
	if r.failed++; r.failed == 3 { // one failure is a node that went away
		r.cfg.Counts.Late.Add(1)
		r.log.Warn("the feed cannot be read", "err", err)
	}
	Pause(ctx, time.Duration(min(r.failed, 10))*(20*time.Millisecond+rand.N(20*time.Millisecond)))
}

func (r *Reader) works() {
	if r.turn != 0 && time.Since(r.turned) > leaderAgain {
		r.turn = 0
	}
	if r.failed >= 3 {
		r.cfg.Counts.Late.Add(-1)
		r.log.Info("the feed is read again")
	}
	r.failed = 0
}

// Advance goes on behind what was read. empty is that there was nothing.
func (r *Reader) Advance(ctx context.Context, next wire.Offset, empty bool) {
	r.Next = next
	if !empty {
		r.suspect = 0
		return
	}
	r.doubt(ctx)
}

// doubt finds out whether a replica that has nothing to tell is cut off from the others: it asks one of them for its head,
// each time another one, and goes there if that one had more all through the next read.
func (r *Reader) doubt(ctx context.Context) {
	nodes := r.cfg.Seq.ReplicasOf(r.group)
	if r.suspect > r.Next {
		r.cfg.Counts.Silences.Add(1)
		r.log.Warn("a replica's feed stands still, reading another", "replica", r.node)
		r.turn, r.turned = max(slices.Index(nodes, r.witness), 0), time.Now()
		r.suspect = 0
		return
	}
	r.suspect = 0
	if len(nodes) < 2 {
		return
	}
	r.asked++
	r.witness = nodes[(uint(r.turn)+1+uint(r.asked)%uint(len(nodes)-1))%uint(len(nodes))]
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Wait)
	defer cancel()
	if head, _, err := r.cfg.Seq.FeedHead(ctx, r.witness, r.group); err == nil {
		r.suspect = head
	}
}

// Pause waits, and is false when ctx ends before.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
