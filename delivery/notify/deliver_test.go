package notify

import (
	"testing"
	"time"

	"github.com/quorate/quorate/delivery/push"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestDeliver_AProviderThatIsDown: those of other platforms are told in time, and all of it when it is back, once and with what is newest.
func TestDeliver_AProviderThatIsDown(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID == "cid" {
				return push.ErrUnavailable
			}
			return nil
		})
		r.say("c", "ann", "one")
		r.after(10 * time.Second)
		r.want("5s bob/phone c-1 x1")
		r.say("c", "ann", "two")
		r.after(50 * time.Second)
		r.want("15s bob/phone c-2 x2")
		if r.committed() > 1 {
			t.Error("what cid was not told of is committed")
		}
		r.answers(nil)
		r.after(16 * time.Second)
		r.mu.Lock()
		if len(r.told) != 1 || r.told[0].user != "cid" || r.told[0].Seq != 2 || r.told[0].Count != 2 {
			t.Errorf("told %v", r.told)
		}
		r.mu.Unlock()
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
	})
}

func TestDeliver_RetryAfterIsHeeded(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := true
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID == "cid" && first {
				first = false
				return &push.RetryError{After: 40 * time.Second, Err: &push.AnswerError{Kind: push.ErrUnavailable, Status: 429}}
			}
			return nil
		})
		r.say("c", "ann", "one")
		r.after(10 * time.Second)
		r.say("c", "ann", "two") // must not go out before the time
		r.after(time.Minute)
		r.want("5s bob/phone c-1 x1", "15s bob/phone c-2 x2", "45s cid/phone c-2 x2")
	})
}

// TestDeliver_WhoComesBackMeanwhileIsNotTold: a notification that waits for its provider is dropped when its user has got the messages.
func TestDeliver_WhoComesBackMeanwhileIsNotTold(t *testing.T) {
	for _, heard := range []bool{true, false} {
		inBubble(t, func(r *rig) {
			r.answers(func(*push.Device, *push.Notification) error { return push.ErrUnavailable })
			r.say("c", "ann", "one")
			r.after(20 * time.Second)
			r.ack("c", "bob", heard)
			r.ack("c", "cid", heard)
			r.answers(nil)
			r.after(time.Minute)
			r.want()
			if got := r.committed(); got != r.offset {
				t.Errorf("committed %d, want %d", got, r.offset)
			}
			if len(r.keeper.notices) != 0 {
				t.Errorf("%d notices are left", len(r.keeper.notices))
			}
		})
	}
}

func TestDeliver_ADeviceThatIsGoneIsRemoved(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.device("cid", "pad")
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.DeviceID == "pad" {
				return push.ErrGone
			}
			return nil
		})
		r.say("c", "ann", "one")
		r.after(6 * time.Second)
		r.want("5s bob/phone c-1 x1", "5s cid/phone c-1 x1")
		if got := r.cluster.removed; len(got) != 1 || got[0] != "cid/pad" {
			t.Errorf("removed %v", got)
		}
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
		tries := r.tries
		r.say("c", "ann", "two")
		r.after(6 * time.Second)
		if r.tries != tries+2 {
			t.Errorf("%d tries for two devices", r.tries-tries)
		}
	})
}

// TestDeliver_ADeviceThatWasPutAnewStays: the one that is gone is another one.
func TestDeliver_ADeviceThatWasPutAnewStays(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID != "cid" || d.Token != "cidphone" {
				return nil
			}
			r.cluster.mu.Lock()
			defer r.cluster.mu.Unlock()
			r.cluster.settings["cid"] = wire.PushSettings{Devices: []wire.Device{{DeviceID: "phone", Platform: wire.FCM, Token: "new", Version: 9}}}
			return push.ErrGone
		})
		r.say("c", "ann", "one")
		r.after(6 * time.Second)
		if got := r.cluster.removed; len(got) != 0 {
			t.Errorf("removed %v", got)
		}
		r.want("5s bob/phone c-1 x1")
		r.say("c", "ann", "two")
		r.after(6 * time.Second)
		r.want("11s bob/phone c-2 x2", "11s cid/phone c-2 x2")
	})
}

// TestDeliver_PoisonDoesNotStopTheGroup: what a provider never takes is not tried again, and nothing waits for it.
func TestDeliver_PoisonDoesNotStopTheGroup(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answers(func(d *push.Device, n *push.Notification) error {
			if d.UserID == "cid" && n.Text == "poison" {
				return push.ErrRejected
			}
			return nil
		})
		r.say("c", "ann", "poison")
		r.after(time.Minute)
		r.want("5s bob/phone c-1 x1")
		if r.tries != 2 {
			t.Errorf("%d tries", r.tries)
		}
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
		r.say("c", "ann", "good")
		r.after(6 * time.Second)
		r.mu.Lock()
		if len(r.told) != 2 {
			t.Errorf("told %v", r.told)
		}
		r.mu.Unlock()
	})
}

func TestDeliver_WhatIsTooOldIsGivenUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID == "cid" {
				return push.ErrUnavailable
			}
			return nil
		})
		r.say("c", "ann", "one")
		r.after(23 * time.Hour)
		if r.committed() > 1 || r.shared.stats.gaveUp.Load() != 0 {
			t.Error("it was given up too early")
		}
		r.after(time.Hour + 15*time.Second)
		if got := r.committed(); got != r.offset || r.shared.stats.gaveUp.Load() != 1 {
			t.Errorf("committed %d, want %d; %d were given up", got, r.offset, r.shared.stats.gaveUp.Load())
		}
		r.want("5s bob/phone c-1 x1")
	})
}

// TestDeliver_ASlowProviderHoldsUpNoOther: each platform has its own senders.
func TestDeliver_ASlowProviderHoldsUpNoOther(t *testing.T) {
	slow := &slowProvider{}
	inBubble(t, func(r *rig) {
		r.cluster.settings["cid"] = wire.PushSettings{Devices: []wire.Device{{DeviceID: "hook", Platform: wire.Webhook, Version: 1}}}
		for _, chat := range []string{"x", "y", "z"} {
			r.chat(chat, "ann", "cid", "bob")
			r.say(chat, "ann", "hello")
		}
		r.after(6 * time.Second)
		r.want("5s bob/phone x-1 x1", "5s bob/phone y-1 x1", "5s bob/phone z-1 x1")
		r.after(time.Minute)
		if slow.most != 2 {
			t.Errorf("%d at a time", slow.most)
		}
		if got := r.committed(); got != r.offset {
			t.Errorf("committed %d, want %d", got, r.offset)
		}
	}, func(c *Config) {
		c.Limits.Sends = 2
		c.Providers["webhook"] = slow
	})
}

// TestDeliver_ADeviceThatNobodyHereSendsTo holds nothing up: another version of the service may have registered it.
func TestDeliver_ADeviceThatNobodyHereSendsTo(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.cluster.settings["cid"] = wire.PushSettings{Devices: []wire.Device{{DeviceID: "web", Platform: wire.WebPush, Version: 1}}}
		r.say("c", "ann", "hello")
		r.after(6 * time.Second)
		r.want("5s bob/phone c-1 x1")
		if got := r.committed(); got != r.offset || len(r.keeper.notices) != 0 {
			t.Errorf("committed %d, want %d; %d notices are left", got, r.offset, len(r.keeper.notices))
		}
	})
}

// TestDeliver_ADeviceThatIsTakenAwayMeanwhile: its next try is not made, and nothing is left of it.
func TestDeliver_ADeviceThatIsTakenAwayMeanwhile(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.device("cid", "pad")
		r.answers(func(d *push.Device, _ *push.Notification) error {
			if d.UserID == "cid" {
				return push.ErrUnavailable
			}
			return nil
		})
		r.say("c", "ann", "hello")
		r.after(20 * time.Second)
		r.want("5s bob/phone c-1 x1")
		r.cluster.mu.Lock()
		p := r.cluster.settings["cid"]
		p.Devices = p.Devices[:1]
		r.cluster.settings["cid"] = p
		r.cluster.mu.Unlock()
		r.after(16 * time.Second)
		r.answers(nil)
		r.after(time.Minute)
		r.mu.Lock()
		if len(r.told) != 1 || r.told[0].device != "phone" {
			t.Errorf("told %v", r.told)
		}
		r.mu.Unlock()
		if got := r.committed(); got != r.offset || len(r.keeper.notices) != 0 {
			t.Errorf("committed %d, want %d; %d notices are left", got, r.offset, len(r.keeper.notices))
		}
	})
}
