package sequencer_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer"
	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// outcomes holds what became of commands, by clientMessageId.
type outcomes struct {
	mu      sync.Mutex
	acked   map[string]wire.Seq
	refused map[string]error // definitely
	unknown int
	busy    int
	twice   int // commands that were completed again
	open    sync.WaitGroup
}

// submit offers one append to a node and notes what becomes of it.
func (o *outcomes) submit(n *sequencer.Node, chat, id string) {
	var calls atomic.Int32
	o.open.Add(1)
	cmd := raftfsm.Append{ChatID: chat, SenderID: "alice", ClientMessageID: id, Text: "text " + id}
	n.Submit(chat, cmd, func(res raftfsm.Result, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if calls.Add(1) > 1 {
			o.twice++
			return
		}
		defer o.open.Done()
		switch {
		case err == nil && res.Err == nil:
			o.acked[id] = res.Append.Seq
		case errors.Is(err, wire.ErrUnknown):
			o.unknown++
		default:
			o.refused[id] = errors.Join(err, res.Err)
			if errors.Is(err, wire.ErrBusy) {
				o.busy++
			}
		}
	})
}

func (o *outcomes) counts() (acked, busy, others int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked), o.busy, o.unknown + len(o.refused) - o.busy
}

// TestSubmit_EveryAnswerIsTrue floods a leader with a small queue, takes its quorum away meanwhile, and looks afterwards
// whether what was acknowledged is there, and what was refused is not.
func TestSubmit_EveryAnswerIsTrue(t *testing.T) {
	c := sequencertest.Start(t, 3, 1, func(_ int, cfg *sequencer.Config) {
		cfg.Limits.QueueBytes, cfg.Limits.EntryCommands, cfg.Limits.InFlight = 4<<10, 8, 2
	})
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"alice"}, "chat")
	leader := c.Leader(0)
	o := &outcomes{acked: map[string]wire.Seq{}, refused: map[string]error{}}
	next := 0
	flood := func(until func(acked, busy, others int) bool) {
		c.Eventually("the flood to show", func() bool {
			for range 200 {
				next++
				o.submit(c.Node(leader), "chat", strconv.Itoa(next))
			}
			return until(o.counts())
		})
	}
	flood(func(acked, busy, _ int) bool { return acked > 100 && busy > 0 })
	for i := range c.Len() {
		if i != leader {
			c.Kill(i)
		}
	}
	flood(func(_, _, others int) bool { return others > 0 })
	o.open.Wait() // without a quorum, too, everyone is answered
	for i := range c.Len() {
		if i != leader {
			c.Restart(i)
		}
	}
	checkOutcomes(t, client, o)
}

func checkOutcomes(t *testing.T, client *wire.Client, o *outcomes) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	log, err := sequencertest.ReadLog(ctx, client, "chat")
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]wire.Seq{}
	for _, m := range log {
		stored[m.ClientMessageID] = m.Seq
	}
	for id, seq := range o.acked {
		if stored[id] != seq {
			t.Errorf("%s was acknowledged as %d, the log has it at %d", id, seq, stored[id])
		}
	}
	for id, why := range o.refused {
		if stored[id] != 0 {
			t.Errorf("%s was refused (%v), the log has it at %d", id, why, stored[id])
		}
	}
	if o.twice != 0 || len(stored) != len(log) {
		t.Errorf("%d commands were completed again; %d messages, %d of them different", o.twice, len(log), len(stored))
	}
	t.Logf("%d acknowledged, %d refused (%d busy), %d unknown", len(o.acked), len(o.refused), o.busy, o.unknown)
}

func TestExpire_LeaderLetsTheFeedForget(t *testing.T) {
	var ahead atomic.Int64 // of the clock, in ms
	c := sequencertest.Start(t, 3, 1, func(_ int, cfg *sequencer.Config) {
		cfg.ExpireEvery = 20 * time.Millisecond
		cfg.Limits.ExpireEvents = 2 // so that it takes several commands
		cfg.Clock = func() wire.Millis { return wire.Millis(time.Now().UnixMilli() + ahead.Load()) }
	})
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"alice"}, sequencertest.Names("chat", 9)...)
	head, _ := c.Node(c.Leader(0)).Store(0).FeedHead()
	if _, floor := c.Node(c.Leader(0)).Store(0).FeedHead(); floor != 1 {
		t.Fatalf("the feed begins at %d before its time", floor)
	}
	ahead.Store((49 * time.Hour).Milliseconds())
	for i := range c.Len() {
		c.Eventually("old events to be forgotten", func() bool {
			_, floor := c.Node(i).Store(0).FeedHead()
			return floor == head
		})
	}
}

func TestCards_NodeOnAnotherPortIsFound(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client := c.Client()
	sequencertest.MakeChats(t, client, []string{"alice"}, "chat")
	leader := c.Leader(0)
	for i := range c.Len() { // every node moves, the leader first
		moving := (leader + i) % c.Len()
		c.Kill(moving)
		c.Configure(moving, func(cfg *sequencer.Config) { _, cfg.RESPAddr = sequencertest.LoopbackAddrs(t) })
		c.Restart(moving)
	}
	c.WaitReady()
	c.Eventually("every node to say where the leader is", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		leader := c.Leader(0)
		for i, addr := range c.Addrs() {
			_, err := client.DoNode(ctx, addr, "CHAT.GET", "chat")
			var moved *wire.MovedError
			if i == leader && err != nil || i != leader && (!errors.As(err, &moved) || moved.Addr != c.Addrs()[leader]) {
				return false
			}
		}
		return true
	})
}
