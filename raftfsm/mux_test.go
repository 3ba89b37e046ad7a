package raftfsm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

func newMux(t *testing.T) *Mux {
	m, err := ListenMux("127.0.0.1:0", func() Card { return Card{Node: "n1", RESPAddr: "here:1", Groups: 3} },
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMux_ConnectionsReachTheirGroup(t *testing.T) {
	m := newMux(t)
	const groups = 100
	var echoes sync.WaitGroup
	for id := range wire.GroupID(groups) {
		l, err := m.layer(Config{Node: "n1", Group: id})
		if err != nil {
			t.Fatal(err)
		}
		echoes.Go(func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := c.Write([]byte{byte(id)}); err != nil {
				t.Error(err)
			}
		})
	}
	for id := range wire.GroupID(groups) {
		dial := &layer{mux: m, group: id, cluster: clusterTag("")}
		c, err := dial.Dial(Peer{ID: "n1", RaftAddr: m.Addr()}.serverAddr(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || len(got) != 1 || got[0] != byte(id) {
			t.Fatalf("group %d answered %v, %v", id, got, err)
		}
		c.Close()
	}
	echoes.Wait()
	if _, err := m.layer(Config{Node: "n1", Group: 7}); err == nil {
		t.Fatal("a group was opened twice")
	}
}

func TestMux_ConnectionsForAnotherReplicaOrClusterAreClosed(t *testing.T) {
	m := newMux(t)
	l, err := m.layer(Config{Node: "n1", Generation: 2, Group: 3, Cluster: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := clusterTag("ours"), clusterTag("theirs")
	for _, c := range []struct {
		what    string
		cluster [8]byte
		group   wire.GroupID
		peer    Peer
	}{
		{"an earlier generation", ours, 3, Peer{ID: "n1", Generation: 1, RaftAddr: m.Addr()}},
		{"another node", ours, 3, Peer{ID: "n2", Generation: 2, RaftAddr: m.Addr()}},
		{"another cluster", theirs, 3, Peer{ID: "n1", Generation: 2, RaftAddr: m.Addr()}},
		{"another group", ours, 4, Peer{ID: "n1", Generation: 2, RaftAddr: m.Addr()}},
	} {
		conn, err := (&layer{mux: m, group: c.group, cluster: c.cluster}).Dial(c.peer.serverAddr(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
			t.Errorf("%s: %v, %v", c.what, b, err)
		}
		conn.Close()
	}
	select {
	case c := <-l.incoming:
		t.Errorf("the group was given %v", c.RemoteAddr())
	default:
	}
}

func TestMux_SilentPeersHoldUpNobody(t *testing.T) {
	m := newMux(t)
	for range 50 {
		c, err := net.Dial("tcp", m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // less than a header may take
	defer cancel()
	if card, err := FetchCard(ctx, m.Addr()); err != nil || !reflect.DeepEqual(card, m.card()) {
		t.Fatalf("got %+v, %v", card, err)
	}
}

func TestMux_StrangersAreClosed(t *testing.T) {
	m := newMux(t)
	for name, header := range map[string]string{
		"http":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"another version":   "QRT\x01\x01\x00\x00\x00\x00",
		"an unknown kind":   string(muxHeader(9, clusterTag(""), 0, "n1/1")),
		"a group not here":  string(muxHeader(muxRaft, clusterTag(""), 99, "n1/1")),
		"zeros":             "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"another beginning": "qrt\x01\x01\x00\x00\x00\x00",
	} {
		c, err := net.Dial("tcp", m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(header)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s was not closed: %v", name, err)
		}
		c.Close()
	}
}

func TestFetchCard_HostileAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":    "",
		"too long":   "\xff\xff\xff\xff",
		"cut":        "\x00\x00\x00\x09{}",
		"not a card": "\x00\x00\x00\x02[]",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, muxHeaderSize))
			_, _ = c.Write([]byte(answer))
			c.Close()
		}()
		if card, err := FetchCard(context.Background(), ln.Addr().String()); err == nil {
			t.Errorf("%s: taken for %+v", name, card)
		}
		ln.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := FetchCard(ctx, "127.0.0.1:1"); err == nil {
		t.Error("a cancelled question was answered")
	}
}
