package delivery

import (
	"context"
	"testing"
)

func TestParseChoice_TakesNothingThatIsNotKnown(t *testing.T) {
	for text, want := range map[string]choice{
		"": {}, "off": {}, "spread": {}, "spread:": {}, "spread:101": {}, "spread:-1": {}, "later:50": {}, "spread:1e1": {},
		"spread:25": {spread, 25}, "spread:100": {spread, 100}, "inline:30": {inline, 30},
	} {
		if got := parseChoice(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

// TestRollout_PercentOfSlots has a variant for a part of the slots.
func TestRollout_PercentOfSlots(t *testing.T) {
	r := newRollout(nil)
	r.now.Store(&choice{spread, 25})
	n := 0
	for range 4000 {
		if r.of(fresh("chat")) == spread {
			n++
		}
	}
	if n < 800 || n > 1200 {
		t.Errorf("%d of 4000 chats use the variant of 25 %% of the slots", n)
	}
}

// TestRollout_ChangesWhileMessagesFlow switches variants back and forth under load, without a restart.
func TestRollout_ChangesWhileMessagesFlow(t *testing.T) {
	e := openEdge(t, startCluster(t, 1))
	ann, bob := fresh("ann"), fresh("bob")
	id := e.group(ann, bob)
	d := e.dial(bob)
	used := func(v variant) uint64 { return e.rollout.use[v].messages.Load() }
	n := int64(0)
	for _, step := range []struct {
		setting string
		variant variant
	}{{"spread:100", spread}, {"off", inline}, {"spread:100", spread}} {
		eventually(t, "the setting to be made", func() bool {
			_, err := e.seq.DoFollow(context.Background(), e.seq.LeaderOf(0), "CLUSTER", "SET", "fanout", step.setting)
			return err == nil
		})
		eventually(t, "messages to go by "+variantNames[step.variant], func() bool {
			before := used(step.variant)
			n = e.post(ann, id, "x")
			d.awaitSeqs(id, n, n)
			return used(step.variant) > before
		})
	}
}
