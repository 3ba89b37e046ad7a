package raftfsm

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quorate/quorate/bubble"
)

// fakeCompacted is a database that has so many compactions to do, and tells of each that it begins.
type fakeCompacted struct {
	name string
	c    *compactor

	mu     sync.Mutex
	todo   int
	layers int32
	began  []pebble.CompactionGrantHandle
	asked  func()
}

func newFakeCompacted(all *compactions, name string, todo int) *fakeCompacted {
	f := &fakeCompacted{name: name, c: all.newCompactor(), todo: todo}
	f.c.Register(2, f)
	return f
}

func (*fakeCompacted) GetAllowedWithoutPermission() int { return 1 }

func (*fakeCompacted) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	panic("nobody asks")
}

func (f *fakeCompacted) Metrics() *pebble.Metrics {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := new(pebble.Metrics)
	m.Levels[0].Sublevels = f.layers
	return m
}

func (f *fakeCompacted) Schedule(h pebble.CompactionGrantHandle) bool {
	if f.asked != nil {
		f.asked()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.todo == 0 {
		return false
	}
	f.todo--
	f.began = append(f.began, h)
	return true
}

// wants has the database ask by itself, once, and says whether it may begin.
func (f *fakeCompacted) wants() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok, h := f.c.TrySchedule()
	if ok {
		f.todo--
		f.began = append(f.began, h)
	}
	return ok
}

// ends has its one compaction end.
func (f *fakeCompacted) ends() {
	f.mu.Lock()
	h := f.began[0]
	f.began = f.began[1:]
	f.mu.Unlock()
	h.Done()
}

func (f *fakeCompacted) runs() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.began) > 0
}

// running names those that compact.
func running(all ...*fakeCompacted) (names []string) {
	for _, f := range all {
		if f.runs() {
			names = append(names, f.name)
		}
	}
	return names
}

// TestCompactions_TakeTurns: with three processors two stores compact at a time, the others in the order in which they came, and one that has more to do behind
// them.
func TestCompactions_TakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	var all compactions
	a, b, c, d := newFakeCompacted(&all, "a", 3), newFakeCompacted(&all, "b", 1), newFakeCompacted(&all, "c", 1), newFakeCompacted(&all, "d", 1)
	if !a.wants() || !b.wants() || a.wants() || c.wants() || d.wants() {
		t.Fatal("not the first two of them began")
	}
	for _, step := range []struct {
		ends *fakeCompacted
		want []string
	}{{b, []string{"a", "c"}}, {c, []string{"a", "d"}}, {a, []string{"a", "d"}}, {d, []string{"a"}}, {a, []string{"a"}}, {a, nil}} {
		step.ends.ends()
		if got := running(a, b, c, d); !slices.Equal(got, step.want) {
			t.Fatalf("%v compact after one of %s ended, not %v", got, step.ends.name, step.want)
		}
	}
	if all.running != 0 || len(all.waiting) != 0 {
		t.Errorf("%d run and %d wait in the end", all.running, len(all.waiting))
	}
}

// TestCompactions_HurryWhereTablesPileUp: such a store waits for no turn and does not rest, until it has caught up.
func TestCompactions_HurryWhereTablesPileUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a bubble may have no more, see package bubble
		var all compactions
		a, b := newFakeCompacted(&all, "a", 1), newFakeCompacted(&all, "b", 2)
		rests := func() bool {
			began := time.Now()
			b.c.MeasureCPU(pebble.CompactionGoroutinePrimary)
			return time.Since(began) == compactionRest
		}
		if !a.wants() || b.wants() {
			t.Fatal("not the first alone began")
		}
		if !rests() {
			t.Error("it does not rest")
		}
		b.layers = hurryFrom
		b.c.UpdateGetAllowedWithoutPermission()
		synctest.Wait()
		if !b.runs() {
			t.Fatal("it still waits")
		}
		if rests() {
			t.Error("it rests")
		}
		b.layers = hurryFrom - 1
		b.ends()
		if b.runs() {
			t.Error("it goes on without a turn")
		}
		if !rests() {
			t.Error("it does not rest again")
		}
		a.ends()
		if !b.runs() {
			t.Error("it has no turn")
		}
		b.c.Unregister()
		if rests() {
			t.Error("it rests while the database waits to close")
		}
		b.ends()
	})
}

// TestCompactions_NotAskedOnceClosed: whoever closes waits for a question that is under way, and there is none after it.
func TestCompactions_NotAskedOnceClosed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var all compactions
	a, b, c := newFakeCompacted(&all, "a", 1), newFakeCompacted(&all, "b", 0), newFakeCompacted(&all, "c", 1)
	if !a.wants() || b.wants() || c.wants() {
		t.Fatal("not the first alone began")
	}
	asked, answer, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b.asked = func() { close(asked); <-answer }
	go a.ends()
	<-asked
	go func() {
		defer close(closed)
		c.c.Unregister()
		b.c.Unregister()
	}()
	for waits := false; !waits; runtime.Gosched() {
		all.mu.Lock()
		waits = b.c.closed
		all.mu.Unlock()
	}
	select {
	case <-closed:
		t.Error("it closed while it was asked")
	default:
	}
	close(answer)
	<-closed
	if c.runs() {
		t.Error("a closed one got a turn")
	}
	if ok, _ := b.c.TrySchedule(); ok {
		t.Error("a closed one took a turn")
	}
	b.c.UpdateGetAllowedWithoutPermission()
	if all.running != 0 || len(all.waiting) != 0 {
		t.Errorf("%d run and %d wait in the end", all.running, len(all.waiting))
	}
}

// TestCompactions_OfDatabases has real databases take turns, under writes, until nothing is left to compact, and one close meanwhile.
func TestCompactions_OfDatabases(t *testing.T) {
	var all compactions
	var writers sync.WaitGroup
	for i := range 4 {
		settled := make(chan struct{}, 1)
		opts := &pebble.Options{
			Logger: quiet{&failure{}}, DisableWAL: true, L0CompactionThreshold: 2, LBaseMaxBytes: 1 << 20,
			EventListener: &pebble.EventListener{CompactionEnd: func(pebble.CompactionInfo) {
				select {
				case settled <- struct{}{}:
				default:
				}
			}},
		}
		opts.Experimental.CompactionScheduler = all.newCompactor()
		db, err := pebble.Open(t.TempDir(), opts)
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			for round := range 8 {
				for key := range 500 {
					if err := db.Set(fmt.Appendf(nil, "%d", key*7919%500), make([]byte, 100+round), pebble.NoSync); err != nil {
						t.Error(err)
					}
				}
				if err := db.Flush(); err != nil {
					t.Error(err)
				}
			}
			for i < 3 && db.Metrics().Levels[0].Sublevels >= 2 {
				select {
				case <-settled:
				case <-time.After(time.Minute):
					t.Error("it has not compacted all")
				}
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if all.running != 0 || len(all.waiting) != 0 {
		t.Errorf("%d run and %d wait in the end", all.running, len(all.waiting))
	}
}
