package sequencer

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// newTestCards gives cards that ask fetch, and otherwise only when told to.
func newTestCards(t *testing.T, fetch func(ctx context.Context, addr string) (raftfsm.Card, error)) *cards {
	t.Helper()
	c := newCards("n1", time.Hour, slog.New(slog.DiscardHandler))
	c.fetch = func(ctx context.Context, addr string, _ wire.NodeID) (raftfsm.Card, error) { return fetch(ctx, addr) }
	t.Cleanup(c.close)
	c.follow([]raftfsm.Peer{{ID: "n1", RaftAddr: "self"}, {ID: "n2", RaftAddr: "two"}})
	return c
}

// awaitCard waits until the card of n2 has this RESP address.
func awaitCard(t *testing.T, c *cards, respAddr string) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		known, changed := c.all()
		if known["n2"].RESPAddr == respAddr {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the card of n2 is %+v, want the address %s", known["n2"], respAddr)
		}
	}
}

func TestCards_ChangedAddressIsNoticedWhenAsked(t *testing.T) {
	var addr atomic.Value
	addr.Store("old")
	c := newTestCards(t, func(_ context.Context, raftAddr string) (raftfsm.Card, error) {
		if raftAddr != "two" {
			t.Errorf("%s is asked", raftAddr)
		}
		return raftfsm.Card{Node: "n2", RESPAddr: addr.Load().(string)}, nil
	})
	awaitCard(t, c, "old")
	addr.Store("new")
	c.ask("n2")
	c.ask("n9") // nobody
	awaitCard(t, c, "new")
}

func TestCards_SilentNodeIsAskedUntilItAnswers(t *testing.T) {
	var asked atomic.Int32
	c := newTestCards(t, func(context.Context, string) (raftfsm.Card, error) {
		if asked.Add(1) < 4 {
			return raftfsm.Card{}, errors.New("connection refused")
		}
		return raftfsm.Card{Node: "n2", RESPAddr: "here"}, nil
	})
	awaitCard(t, c, "here")
}

func TestCards_AnotherNodeAtTheAddressIsNotTaken(t *testing.T) {
	asked := make(chan struct{}, 10)
	c := newTestCards(t, func(context.Context, string) (raftfsm.Card, error) {
		asked <- struct{}{}
		return raftfsm.Card{Node: "n3", RESPAddr: "there"}, nil
	})
	<-asked
	c.ask("n2")
	<-asked // so the first answer has been looked at
	if known, _ := c.all(); len(known) != 0 {
		t.Fatalf("known: %v", known)
	}
}

func TestCards_NumberOfNodesIsBounded(t *testing.T) {
	c := newTestCards(t, func(context.Context, string) (raftfsm.Card, error) { return raftfsm.Card{}, errors.New("no") })
	for i := range 2 * maxPeers {
		c.follow([]raftfsm.Peer{{ID: wire.NodeID(strconv.Itoa(i)), RaftAddr: "x"}})
	}
	if len(c.asks) != maxPeers {
		t.Fatalf("%d nodes are asked", len(c.asks))
	}
}
