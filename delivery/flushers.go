package delivery

import (
	"sync"
	"sync/atomic"
)

const (
	flushChunk  = 32 // connections that a goroutine takes at a time
	flushSpread = 64 // connections from which on more than one goroutine writes
)

// flushers are goroutines that help to write a batch to its connections: one per core but one, for the caller writes too.
type flushers struct {
	jobs  chan *flushJob
	write func(conns []*conn) // what is queued on them
	wg    sync.WaitGroup
}

// flushJob is one batch. Whoever works on it takes the next chunk until none is left.
type flushJob struct {
	conns   []*conn
	taken   atomic.Int64 // connections
	helping sync.WaitGroup
}

func newFlushers() *flushers { return &flushers{jobs: make(chan *flushJob)} }

func (f *flushers) open(n int, write func([]*conn), stop <-chan struct{}) {
	f.write = write
	for range n {
		f.wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case j := <-f.jobs:
					j.work(f.write)
					j.helping.Done()
				}
			}
		})
	}
}

func (f *flushers) close() { f.wg.Wait() }

// flush writes what is queued on the connections, with the help of those flushers that have nothing else to do, and returns when all is
// written that the sockets took.
func (f *flushers) flush(conns []*conn, helpers int) {
	j := &flushJob{conns: conns}
	for range helpers {
		j.helping.Add(1)
		select {
		case f.jobs <- j:
		default:
			j.helping.Done() // it is busy, or not there yet
		}
	}
	j.work(f.write)
	j.helping.Wait()
}

func (j *flushJob) work(write func([]*conn)) {
	for {
		from := int(j.taken.Add(flushChunk)) - flushChunk
		if from >= len(j.conns) {
			return
		}
		write(j.conns[from:min(from+flushChunk, len(j.conns))])
	}
}
