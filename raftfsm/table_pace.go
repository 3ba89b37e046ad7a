package raftfsm

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/time/rate"
)

// tablePace has Pebble make the tables of one store slowly while nothing waits for them. At full speed a flush or a compaction takes a processor
// and the disk, on all replicas at about the same time as they write the same, and appends wait: each goroutine on their way for a turn, the log's
// sync for the disk. So there is a bound for what is written; where writes would soon have to wait for tables, there is none. What a compaction reads has
// no bound, as others read likewise at times, but after each block it lets others go first.
type tablePace struct {
	limit   *rate.Limiter // bytes
	ctx     context.Context
	end     context.CancelFunc        // lets all that is under way go on at full speed
	db      atomic.Pointer[pebble.DB] // nil before it is open
	looked  atomic.Pointer[time.Time] // when it was last asked
	pressed atomic.Bool               // what it said
}

const (
	paceBurst = 256 << 10              // bytes that are written at one time
	paceLook  = 100 * time.Millisecond // between two looks at the database

	// Of the tables that Pebble has not merged yet, and of the memtables that are not written, so many may wait: with
	// l0StopWrites, and stopMemTables, writes stand still.
	pressedLevels    = l0StopWrites / 2
	pressedMemTables = stopMemTables - 1
)

func newTablePace(bytesPerSecond int64) *tablePace {
	p := &tablePace{limit: rate.NewLimiter(rate.Limit(bytesPerSecond), paceBurst)}
	if bytesPerSecond < 0 {
		p.limit.SetLimit(rate.Inf)
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// wait waits before n bytes are written.
func (p *tablePace) wait(n int) {
	for ; n > 0 && !p.isPressed(); n -= paceBurst {
		if p.limit.WaitN(p.ctx, min(n, paceBurst)) != nil {
			return // it has ended
		}
	}
}

// isPressed tells whether writes would soon have to wait. It is asked by those who write tables, who hold no lock of the database.
func (p *tablePace) isPressed() bool {
	db, now := p.db.Load(), time.Now()
	if db == nil {
		return false
	}
	if last := p.looked.Load(); last == nil || now.Sub(*last) > paceLook {
		p.looked.Store(&now)
		m := db.Metrics()
		p.pressed.Store(int(m.Levels[0].Sublevels) >= pressedLevels || m.MemTable.Count >= pressedMemTables)
	}
	return p.pressed.Load()
}

// over puts the pace over a file system.
func (p *tablePace) over(fs vfs.FS) vfs.FS { return pacedFS{FS: fs, pace: p} }

// pacedFS is a file system whose tables are written at a pace.
type pacedFS struct {
	vfs.FS
	pace *tablePace
}

// Create creates a file.
func (fs pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, tableSuffix) {
		return f, err
	}
	return pacedFile{File: f, pace: fs.pace}, nil
}

// Open opens a file.
func (fs pacedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || !slices.Contains(opts, vfs.SequentialReadsOption) {
		return f, err
	}
	return yieldingFile{f}, nil
}

// Unwrap gives the file system beneath.
func (fs pacedFS) Unwrap() vfs.FS { return fs.FS }

type pacedFile struct {
	vfs.File
	pace *tablePace
}

// Write writes behind what was written.
func (f pacedFile) Write(b []byte) (int, error) {
	f.pace.wait(len(b))
	return f.File.Write(b)
}

// yieldingFile is a table that is read from one end to the other.
type yieldingFile struct{ vfs.File }

// ReadAt reads a block. Most of what a compaction reads may be deleted, so that it writes nothing in which it would rest.
func (f yieldingFile) ReadAt(b []byte, offset int64) (int, error) {
	runtime.Gosched()
	return f.File.ReadAt(b, offset)
}
