package delivery

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/meter"
	"github.com/quorate/quorate/sequencer/wire"
)

// variant is a way in which messages leave to the sessions they were queued for.
type variant byte

const (
	inline   variant = iota // whoever dispatches a batch writes to its connections, to many at once where the kernel can
	spread                  // where they are many, the engine's flushers help
	plain                   // as inline, with a system call for each connection
	variants                // how many there are
)

var variantNames = [variants]string{"inline", "spread", "plain"}

// fanoutSetting is the setting of the cluster that says which variant how many percent of the slots use, as in "spread:25". All other slots,
// and all without it, use inline.
const fanoutSetting = "fanout"

// rollout is which variant each chat's messages use. It follows the cluster's settings while the node runs.
type rollout struct {
	srv *Server
	now atomic.Pointer[choice]
	use [variants]variantStats
}

// choice is what the setting says.
type choice struct {
	variant variant
	percent int // of the slots
}

// variantStats is what came of a variant.
type variantStats struct {
	messages atomic.Uint64    // to sessions
	flush    *meter.Histogram // seconds from a batch's dispatch to the end of its writing, or its handing over
}

// settingsEvery is how late a node may notice a change.
const settingsEvery = time.Second

func newRollout(srv *Server) *rollout {
	r := &rollout{srv: srv}
	for v := range r.use {
		r.use[v].flush = meter.NewHistogram(meter.Latency)
	}
	r.now.Store(&choice{})
	return r
}

// run follows the settings until ctx ends. While they cannot be read the last ones hold.
func (r *rollout) run(ctx context.Context) {
	for pause(ctx, settingsEvery) {
		asking, cancel := context.WithTimeout(ctx, r.srv.limits.RequestTimeout)
		settings, err := r.srv.seq.Settings(asking)
		cancel()
		if err != nil {
			continue
		}
		if r.srv.heedEpoch(settings) != nil {
			return
		}
		next := parseChoice(settings[fanoutSetting])
		if *r.now.Load() != next {
			r.srv.log.Info("the fan-out setting has changed", "variant", variantNames[next.variant], "percent", next.percent)
			r.now.Store(&next)
		}
	}
}

// parseChoice reads the setting. What this version does not know counts as nothing.
func parseChoice(text string) (c choice) {
	name, number, _ := strings.Cut(text, ":")
	percent, err := strconv.Atoi(number)
	for v, known := range variantNames {
		if name == known && err == nil && percent >= 0 && percent <= 100 {
			return choice{variant(v), percent}
		}
	}
	return choice{}
}

// of gives the variant of a chat.
func (r *rollout) of(chatID string) variant {
	c := r.now.Load()
	if c.percent == 0 || c.variant == inline || int(wire.SlotOf(chatID))%100 >= c.percent {
		return inline
	}
	return c.variant
}
