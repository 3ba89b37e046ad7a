package sequencer

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/bubble"
)

// TestPace_RestsTheMoreTheMoreItDisturbs: an archiver rests as long as it worked while nobody sends, many times as long while somebody does, and
// less the later the archive is. What it waited for is no work.
func TestPace_RestsTheMoreTheMoreItDisturbs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var appends atomic.Int64
		p := pace{appends: &appends}
		rested := func(what string, worked, want time.Duration) {
			t.Helper()
			time.Sleep(worked)
			began := time.Now()
			if err := p.rest(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("%s: it rested for %v, not %v", what, got, want)
			}
		}
		const every, work = time.Hour, 2 * time.Millisecond
		p.begin(0, every)
		rested("nobody sends", work, work)
		rested("next to nothing was done", restAfter/2, 0)
		rested("it adds up", restAfter/2, restAfter)
		appends.Add(1)
		rested("somebody sends", work, busyRests()*work)
		rested("and is heard of for a while", work, busyRests()*work)
		rested("a store was waited for", time.Minute, restMost) // in which nobody sent
		appends.Add(1)
		rested("likewise, and somebody sends", time.Second, busyRests()*restMost)
		p.begin(2*every+time.Second, every)
		appends.Add(1)
		rested("the archive is late", work, lateRests*work)
		p.begin(behindRounds*every+time.Second, every)
		appends.Add(1)
		rested("the archive is behind", work, work)
	})
}

// TestPace_LetsOthersGoFirst has one processor, and work that is too short to rest for: what is ready has run when it is done.
func TestPace_LetsOthersGoFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const few = 3 // the scheduler may take the one that yields out of turn, one time in 61
	var appends atomic.Int64
	var others atomic.Int32
	p := pace{appends: &appends}
	p.begin(0, time.Hour)
	p.woke = time.Now().Add(time.Hour) // however long this machine stands still
	for range few {
		go others.Add(1)
	}
	for range few {
		if err := p.rest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := others.Load(); got != few {
		t.Errorf("%d of %d others went first", got, few)
	}
}
