package notify

import (
	"container/heap"
	"time"
)

// alarms is the one structure in which everything of a group waits for its time.
type alarms struct{ all alarmHeap }

// alarm is something that is to be done at a time, once.
type alarm struct {
	at    time.Time
	do    func()
	place int // in the heap; -1 when it is not there
}

// set has do called at a time.
func (a *alarms) set(at time.Time, do func()) *alarm {
	w := &alarm{at: at, do: do}
	heap.Push(&a.all, w)
	return w
}

// cancel takes an alarm out. nil and one that has rung are no matter.
func (a *alarms) cancel(w *alarm) {
	if w != nil && w.place >= 0 {
		heap.Remove(&a.all, w.place)
	}
}

// ring does what is due, and tells how long nothing else is, at most an hour.
func (a *alarms) ring(now time.Time) time.Duration {
	for len(a.all) > 0 {
		first := a.all[0]
		if wait := first.at.Sub(now); wait > 0 {
			return min(wait, time.Hour)
		}
		heap.Pop(&a.all)
		first.do()
	}
	return time.Hour
}

type alarmHeap []*alarm

func (h alarmHeap) Len() int           { return len(h) }
func (h alarmHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *alarmHeap) Push(x any) {
	w := x.(*alarm)
	w.place = len(*h)
	*h = append(*h, w)
}

func (h *alarmHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	last.place = -1
	return last
}
