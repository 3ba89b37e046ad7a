package notify

import (
	"context"
	"sync"

	"github.com/quorate/quorate/delivery/push"
)

// lane is the way to one provider, which all groups share. A few goroutines send, so that a slow provider takes from no other; what waits
// for them is bounded by the notices that there can be.
type lane struct {
	provider push.Provider
	most     int

	mu      sync.Mutex
	queue   []parcel
	senders int
	wg      sync.WaitGroup
}

// parcel is one notification on its way.
type parcel struct {
	ctx    context.Context
	device *push.Device
	n      *push.Notification
	done   func(error)
}

// send sends when its turn comes, and calls done then, on another goroutine.
func (l *lane) send(ctx context.Context, d *push.Device, n *push.Notification, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, parcel{ctx, d, n, done})
	if l.senders < l.most {
		l.senders++
		l.wg.Go(l.work)
	}
}

// work sends what waits, until nothing does.
func (l *lane) work() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue = nil
			l.senders--
			l.mu.Unlock()
			return
		}
		p := l.queue[0]
		l.queue[0] = parcel{}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		err := p.ctx.Err()
		if err == nil {
			err = l.provider.Send(p.ctx, p.device, p.n)
		}
		p.done(err)
	}
}
