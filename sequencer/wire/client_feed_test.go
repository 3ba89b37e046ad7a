package wire_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// feedPage is an answer to FEED.READ with one members event.
func feedPage(offset, next int) string {
	event := maps("offset", num(offset), "kind", bulk("members"), "chatId", bulk("tea"), "at", num(1700000000000),
		"version", num(3), "seq", num(9), "added", list(bulk("ann"), bulk("bob")), "removed", list())
	return maps("next", num(next), "events", list(event))
}

func TestFeedConn_Reads(t *testing.T) {
	n := startNode(t)
	n.script(func(_ *fakeConn, args []string) string {
		switch strings.Join(args, " ") {
		case "FEED.READ 3 17 COUNT 100 BLOCK 5000":
			return feedPage(17, 18)
		case "FEED.READ 3 18 COUNT 100":
			return maps("next", num(18), "events", list())
		case "FEED.READ 3 5 COUNT 100":
			return "-TRIMMED from 10 on\r\n"
		case "FEED.READ 3 50 COUNT 100":
			return maps("next", num(20), "events", list())
		}
		return "-ERR what?\r\n"
	})
	c := newClient(t, wire.ClientConfig{}, n)
	ctx := context.Background()
	f, err := c.OpenFeed(ctx, n.addr)
	if err != nil {
		t.Fatal(err)
	}
	events, next, err := f.Read(ctx, 3, 17, 100, 5*time.Second)
	if err != nil || next != 18 || len(events) != 1 {
		t.Fatalf("%v, %d, %v", events, next, err)
	}
	ev := events[0]
	if ev.Offset != 17 || ev.Kind != wire.EventMembers || ev.ChatID != "tea" || ev.At != 1700000000000 || ev.Version != 3 ||
		ev.Seq != 9 || strings.Join(ev.Added, " ") != "ann bob" || len(ev.Removed) != 0 {
		t.Errorf("got %+v", ev)
	}
	if events, next, err := f.Read(ctx, 3, 18, 100, 0); err != nil || next != 18 || len(events) != 0 {
		t.Errorf("nothing new: %v, %d, %v", events, next, err)
	}
	if _, _, err := f.Read(ctx, 3, 5, 100, 0); !errors.Is(err, wire.ErrTrimmed) {
		t.Errorf("trimmed: %v", err)
	}
	if _, _, err := f.Read(ctx, 3, 50, 100, 0); err == nil {
		t.Error("a feed that goes back is taken")
	}
	if _, _, err := f.Read(ctx, 3, 18, 100, 0); err != nil {
		t.Errorf("after answers that are errors it works on: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := f.Read(ctx, 3, 18, 100, 0); err == nil {
		t.Error("a closed one reads")
	}
}

// TestFeedConn_ReadEnds: a read that waits ends with its context, with its connection and with the client, and holds up no
// request meanwhile.
func TestFeedConn_ReadEnds(t *testing.T) {
	reading := make(chan struct{}, 1)
	n, c := single(t, wire.ClientConfig{}, func(_ *fakeConn, args []string) string {
		if args[0] == "FEED.READ" {
			reading <- struct{}{}
			return noAnswer
		}
		return "+OK\r\n"
	})
	for name, tc := range map[string]struct {
		end  func(f *wire.FeedConn, cancel func())
		want error
	}{
		"context":    {func(_ *wire.FeedConn, cancel func()) { cancel() }, context.Canceled},
		"connection": {func(f *wire.FeedConn, _ func()) { _ = f.Close() }, wire.ErrClusterDown},
		"node":       {func(*wire.FeedConn, func()) { n.cutAll() }, wire.ErrClusterDown},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		f, err := c.OpenFeed(ctx, n.addr)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, _, err := f.Read(ctx, 0, 1, 10, time.Hour)
			got <- err
		}()
		awaitClosed(t, "read", reading)
		if o := await(t, submit(c, patience, "X", "tea")); o.err != nil {
			t.Errorf("%s: %v", name, o.err)
		}
		tc.end(f, cancel)
		if err := <-got; !errors.Is(err, tc.want) || errors.Is(err, wire.ErrUnknown) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
		if _, _, err := f.Read(context.Background(), 0, 1, 10, 0); !errors.Is(err, wire.ErrClusterDown) {
			t.Errorf("%s: a broken one reads on: %v", name, err)
		}
		cancel()
		_ = f.Close()
	}
	got := make(chan error, 1)
	go func() {
		_, _, err := c.FeedRead(context.Background(), n.addr, 0, 1, 10, time.Hour)
		got <- err
	}()
	awaitClosed(t, "read", reading)
	_ = c.Close()
	if err := <-got; !errors.Is(err, wire.ErrClosed) {
		t.Errorf("client: got %v", err)
	}
	if _, err := c.OpenFeed(context.Background(), n.addr); err == nil {
		t.Error("a closed client opens a feed")
	}
}

// TestClient_FeedReadKeepsItsConnection, and makes a new one where the node has closed the old one.
func TestClient_FeedReadKeepsItsConnection(t *testing.T) {
	var offset atomic.Int64
	n := startNode(t)
	n.script(func(_ *fakeConn, args []string) string {
		if args[0] == "FEED.HEAD" {
			return maps("next", num(12), "floor", num(5))
		}
		at := int(offset.Add(1))
		return feedPage(at, at+1)
	})
	c := newClient(t, wire.ClientConfig{}, n)
	ctx := context.Background()
	read := func(at int) {
		t.Helper()
		events, next, err := c.FeedRead(ctx, n.addr, 0, wire.Offset(at), 10, time.Second)
		if err != nil || len(events) != 1 || int(next) != at+1 {
			t.Fatalf("%v, %d, %v", events, next, err)
		}
	}
	read(1)
	read(2)
	if n.dialled() != 1 {
		t.Errorf("%d connections, want 1", n.dialled())
	}
	n.stop()
	n.restart()
	read(3)
	r, err := c.DoNode(ctx, n.addr, "FEED.READ", "0", "4", "BLOCK", "1000")
	if err != nil || r.Field("next").Num() != 5 {
		t.Errorf("DoNode: %v, %v", r, err)
	}
	if n.dialled() != 2 {
		t.Errorf("%d connections, want 2", n.dialled())
	}
	if next, floor, err := c.FeedHead(ctx, n.addr, 0); err != nil || next != 12 || floor != 5 {
		t.Errorf("head: %d, %d, %v", next, floor, err)
	}
}
