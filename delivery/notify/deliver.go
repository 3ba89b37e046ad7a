package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// notify has a member told of a chat: of everything in it that is there by the time when it is sent, as he is away.
func (k *keeper) notify(c *chat, m *mark, owed *step) {
	m.told = c.foreign(m.user).seq
	key := noticeKey{c.id, m.user}
	if o := k.notices[key]; o != nil {
		o.seq, o.owedAt = m.told, owed.entry.sentAt
		for _, t := range o.targets {
			if t.since == 0 {
				t.since = o.owedAt
			}
		}
		k.pursue(o)
		return
	}
	o := &notice{chat: c, user: m.user, seq: m.told, since: owed.entry.sentAt, owedAt: owed.entry.sentAt, entry: owed.entry.share()}
	k.notices[key] = o
	c.notices++
	k.shared.stats.notices.Add(1)
	k.ask(o)
}

// factsFor is how long facts are good for.
const factsFor = 5 * time.Second

// pursue sends a notice to the devices that have not got it, as far as nothing of it is under way to them, and is done with it when there are
// none.
func (k *keeper) pursue(o *notice) {
	if o.done || !o.over && o.looked.IsZero() {
		return // it is settled, or facts are being read
	}
	left := slices.ContainsFunc(o.targets, func(t *target) bool { return t.accepted < o.seq })
	switch {
	case o.over || !left || o.facts.gone || o.chat.delivered(o.user) >= o.seq:
		k.settle(o)
	case time.Since(o.looked) > factsFor:
		k.ask(o)
	default:
		for _, t := range o.targets {
			if t.accepted < o.seq && !t.busy && t.alarm == nil {
				k.send(o, t)
			}
		}
		if !slices.ContainsFunc(o.targets, func(t *target) bool { return t.busy || t.alarm != nil }) {
			k.settle(o) // nobody here can send to those that are left
		}
	}
}

// settle is done with a notice once nothing of it is under way.
func (k *keeper) settle(o *notice) {
	k.alarms.cancel(o.alarm)
	for _, t := range o.targets {
		k.alarms.cancel(t.alarm)
		t.alarm = nil
	}
	if o.open > 0 || o.done {
		return
	}
	o.done = true
	delete(k.notices, noticeKey{o.chat.id, o.user})
	k.shared.stats.notices.Add(-1)
	k.ledger.done(o.entry)
	was := o.chat.busy()
	o.chat.notices--
	k.changed(o.chat, was)
}

// giveUp ends a notice that is too old, and tells whether it is.
func (k *keeper) giveUp(o *notice) bool {
	if o.done {
		return true
	}
	age := time.Since(time.UnixMilli(int64(o.since)))
	if !o.over && (age >= k.limits.GiveUp || age >= k.limits.FullAfter && k.full()) {
		o.over = true
		k.shared.stats.gaveUp.Add(1)
		k.log.Warn("a notification was given up", "chat", o.chat.id, "user", o.user, "age", age.Round(time.Second))
	}
	if o.over {
		k.settle(o)
	}
	return o.over
}

// ask reads what a notification says and where it goes.
func (k *keeper) ask(o *notice) {
	o.looked = time.Time{}
	o.open++
	k.lookUp(func(ctx context.Context) func() {
		f, err := k.shared.read(ctx, o.user, o.chat.id)
		return func() { k.answered(o, f, err) }
	})
}

// answered takes the facts.
func (k *keeper) answered(o *notice, f facts, err error) {
	o.open--
	switch {
	case k.giveUp(o):
		return
	case err != nil:
		k.shared.stats.lookFailures.Add(1)
		o.failed++
		o.alarm = k.alarms.set(time.Now().Add(backoff(o.failed-1, k.limits.RetryMost)), func() { k.ask(o) })
		return
	}
	o.failed, o.looked, o.facts = 0, time.Now(), f
	if m := o.chat.mark(o.user); m != nil {
		m.delivered = max(m.delivered, f.delivered)
	}
	o.aim(f.devices)
	k.pursue(o)
}

// aim makes the devices the targets. One that is the same as before keeps what it has accepted.
func (o *notice) aim(devices []wire.Device) {
	old := o.targets
	o.targets = nil
	for _, d := range devices {
		i := slices.IndexFunc(old, func(t *target) bool { return t.device.DeviceID == d.DeviceID && t.device.Version == d.Version })
		if i >= 0 {
			o.targets = append(o.targets, old[i])
			continue
		}
		o.targets = append(o.targets, &target{device: d, since: o.since})
	}
}

// send gives the notification to the device's provider.
func (k *keeper) send(o *notice, t *target) {
	lane := k.shared.lanes[t.device.Platform]
	if lane == nil {
		k.shared.stats.failed(t.device.Platform, unsupported)
		t.accepted = wire.MaxSeq // nothing is sent there from here
		return
	}
	n, device := o.message(k.shared.cfg.Text), deviceOf(o.user, &t.device)
	t.busy = true
	o.open++
	k.sending++
	lane.send(k.worker, device, &n, func(err error) {
		k.post(func() {
			k.sending--
			o.open--
			t.busy = false
			k.sent(o, t, wire.Seq(n.Seq), err)
		})
	})
}

// sent takes the provider's answer.
func (k *keeper) sent(o *notice, t *target, seq wire.Seq, err error) {
	st := k.shared.stats
	if err != nil {
		st.failed(t.device.Platform, push.Outcome(err))
	}
	var retry *push.RetryError
	switch {
	case err == nil:
		st.sent(t.device.Platform, time.Since(time.UnixMilli(int64(t.since))))
		k.through(o, t, seq)
	case errors.Is(err, push.ErrGone):
		k.remove(o, t)
	case errors.As(err, &retry):
		k.again(o, t, max(retry.After, 10*time.Millisecond))
	case errors.Is(err, push.ErrRejected), errors.Is(err, push.ErrBadDevice):
		k.through(o, t, seq)
	default:
		k.again(o, t, backoff(t.tries, k.limits.RetryMost))
	}
}

// through notes that a device needs nothing up to seq any more.
func (k *keeper) through(o *notice, t *target, seq wire.Seq) {
	t.accepted, t.tries, t.since = max(t.accepted, seq), 0, 0
	if t.accepted < o.seq {
		t.since = o.owedAt
	}
	k.pursue(o)
}

// again tries a device again later; the notice says then what is newest.
func (k *keeper) again(o *notice, t *target, after time.Duration) {
	if k.giveUp(o) {
		return
	}
	t.tries++
	t.alarm = k.alarms.set(time.Now().Add(after), func() {
		t.alarm = nil
		if !k.giveUp(o) {
			k.pursue(o)
		}
	})
	k.pursue(o) // it may be over meanwhile
}

// remove has the user's group forget a device that is gone, if it is still the one that was sent to.
func (k *keeper) remove(o *notice, t *target) {
	o.open++
	t.busy = true
	k.lookUp(func(ctx context.Context) func() {
		removed, err := k.shared.seq.RemoveDevice(ctx, o.user, t.device.DeviceID, t.device.Version)
		return func() {
			o.open--
			t.busy = false
			if err != nil {
				k.shared.stats.lookFailures.Add(1)
				k.again(o, t, backoff(t.tries, k.limits.RetryMost)) // its provider will say again that it is gone
				return
			}
			if removed {
				k.shared.stats.removed(t.device.Platform)
			}
			k.through(o, t, wire.MaxSeq)
		}
	})
}
