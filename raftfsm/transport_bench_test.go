package raftfsm

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// BenchmarkTransport sends entries to a replica that answers at once: with the library's half that answers, with ours,
// and with ours over TLS.
func BenchmarkTransport(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		for _, kind := range []string{"library", "ours", "tls"} {
			b.Run(fmt.Sprintf("%s/bytes=%d", kind, size), func(b *testing.B) { benchTransport(b, kind, size) })
		}
	}
}

func benchTransport(b *testing.B, kind string, size int) {
	var who [2]*Identity
	if kind == "tls" {
		dev := newAuthority(b)
		who = [2]*Identity{{Keys: dev.keys(trust.Node, "n1")}, {Keys: dev.keys(trust.Node, "n2")}}
	}
	quiet := slog.New(slog.DiscardHandler)
	var layers [2]*layer
	for i := range layers {
		m, err := ListenSecureMux("127.0.0.1:0", who[i], func() Card { return Card{} }, quiet)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		if layers[i], err = m.layer(Config{Node: []wire.NodeID{"n1", "n2"}[i]}); err != nil {
			b.Fatal(err)
		}
	}
	options := &raft.Config{Logger: newRaftLogger(quiet)}
	sender := newTransport(layers[0], options, quiet, 1)
	defer sender.Close()
	var taker raft.Transport
	if kind == "library" {
		theirs := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: layers[1], Timeout: transportTimeout, Logger: options.Logger, MsgpackUseNewTimeFormat: true,
		})
		defer theirs.Close()
		taker = theirs
	} else {
		ours := newTransport(layers[1], options, quiet, 1)
		defer ours.Close()
		ours.serve(idleRaft(b))
		taker = ours
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case rpc := <-taker.Consumer():
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			case <-stop:
				return
			}
		}
	}()
	to, from := Peer{ID: "n2", RaftAddr: layers[1].mux.Addr()}, Peer{ID: "n1", RaftAddr: layers[0].mux.Addr()}
	request := &raft.AppendEntriesRequest{
		RPCHeader:    raft.RPCHeader{ProtocolVersion: 3, ID: []byte(from.serverID()), Addr: []byte(from.serverAddr())},
		Term:         1,
		PrevLogEntry: 1,
		Entries:      []*raft.Log{{Index: 2, Term: 1, Data: make([]byte, size), AppendedAt: time.Now()}},
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if err := sender.AppendEntries(to.serverID(), to.serverAddr(), request, new(raft.AppendEntriesResponse)); err != nil {
			b.Fatal(err)
		}
	}
}

// idleRaft is a Raft that runs by itself, for what the guard asks of it.
func idleRaft(b *testing.B) *raft.Raft {
	options := raft.DefaultConfig()
	options.LocalID, options.Logger = "n2/1", newRaftLogger(slog.New(slog.DiscardHandler))
	store := raft.NewInmemStore()
	_, transport := raft.NewInmemTransport("n2/1@here")
	r, err := raft.NewRaft(options, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			b.Error(err)
		}
	})
	return r
}
