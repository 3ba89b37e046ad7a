package raftfsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

// attacker is a node with a certificate of the cluster that sends what it likes to one replica of a group of three. The
// node of that name is down.
type attacker struct {
	t      *testing.T
	c      *trio
	at     int // the node that is attacked: the leader, or a follower
	client *raft.NetworkTransport
	layer  *layer
	header raft.RPCHeader // that of an honest message of the attacker
	term   uint64
}

// attack runs a secure group of three, takes the node "down" from it and gives one that acts in its name.
func attack(t *testing.T, leader bool) *attacker {
	dev := newAuthority(t)
	c := newSecureTrio(t, dev, nil)
	at := c.leader()
	down := (at + 1) % 3
	who := c.who[down].Keys
	c.stop(down)
	at = c.leader()
	if !leader {
		at = 3 - at - down
	}
	m := secureMux(t, who, nil)
	l, err := m.layer(Config{Node: c.peers[down].ID})
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{
		t: t, c: c, at: at, layer: l,
		client: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: dialLayer{l}, Timeout: 20 * time.Second, Logger: newRaftLogger(slog.New(slog.DiscardHandler)),
			MsgpackUseNewTimeFormat: true,
		}),
		term: c.groups[at].Status().Term,
	}
	a.header = a.headerOf(down)
	t.Cleanup(func() { a.client.Close() })
	return a
}

func (a *attacker) headerOf(node int) raft.RPCHeader {
	p := a.c.peers[node]
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(p.serverID()), Addr: []byte(p.serverAddr()),
	}
}

func (a *attacker) target() (raft.ServerID, raft.ServerAddress) {
	p := a.c.peers[a.at]
	return p.serverID(), p.serverAddr()
}

func (a *attacker) forged() uint64 { return a.c.muxes[a.at].Counts().Forged }

// refused looks that what send does ends its connection and is counted, and that the group does not mind.
func (a *attacker) refused(what string, send func(id raft.ServerID, target raft.ServerAddress) error) {
	a.t.Helper()
	before := a.forged()
	id, target := a.target()
	if err := send(id, target); err == nil {
		a.t.Errorf("%s: answered", what)
	}
	eventually(a.t, what+" is counted", func() bool { return a.forged() > before })
	if term := a.c.groups[a.at].Status().Term; term-a.term > 50 {
		a.t.Fatalf("%s: the term has gone from %d to %d", what, a.term, term)
	}
}

func (a *attacker) append(what string, r raft.AppendEntriesRequest) {
	a.t.Helper()
	a.refused(what, func(id raft.ServerID, target raft.ServerAddress) error {
		return a.client.AppendEntries(id, target, &r, new(raft.AppendEntriesResponse))
	})
}

func (a *attacker) vote(what string, r raft.RequestVoteRequest) {
	a.t.Helper()
	a.refused(what, func(id raft.ServerID, target raft.ServerAddress) error {
		return a.client.RequestVote(id, target, &r, new(raft.RequestVoteResponse))
	})
}

// well looks that the group still takes appends.
func (a *attacker) well() {
	a.t.Helper()
	a.c.leader()
	a.c.append(10)
}

func TestTransport_ForgedMessagesEndTheirConnection(t *testing.T) {
	for _, leader := range []bool{true, false} {
		a := attack(t, leader)
		last := a.c.groups[a.at].Status().LastIndex
		third := 3 - a.at - int(a.header.ID[1]-'1')
		top := uint64(math.MaxUint64)

		a.append("the highest term", raft.AppendEntriesRequest{RPCHeader: a.header, Term: top})
		a.append("a term far ahead", raft.AppendEntriesRequest{RPCHeader: a.header, Term: a.term + maxTermJump + 1000, PrevLogEntry: 1})
		a.append("in the name of another", raft.AppendEntriesRequest{RPCHeader: a.headerOf(third), Term: a.term + 1})
		a.append("in the name of the one attacked", raft.AppendEntriesRequest{RPCHeader: a.headerOf(a.at), Term: a.term + 1})
		a.append("without a name", raft.AppendEntriesRequest{Term: a.term + 1})
		address := a.header
		address.Addr = a.headerOf(third).Addr
		a.append("with the address of another", raft.AppendEntriesRequest{RPCHeader: address, Term: a.term + 1})
		stranger := a.header
		stranger.ID, stranger.Addr = []byte("evil/1"), []byte("evil/1@127.0.0.1:1")
		a.append("a leader that is in no configuration", raft.AppendEntriesRequest{RPCHeader: stranger, Term: a.term + 1})
		a.vote("a vote in the name of a stranger", raft.RequestVoteRequest{RPCHeader: stranger, Term: a.term + 1})
		a.vote("a vote in the highest term", raft.RequestVoteRequest{RPCHeader: a.header, Term: top, LeadershipTransfer: true})
		a.vote("a log from after its term", raft.RequestVoteRequest{RPCHeader: a.header, Term: a.term, LastLogTerm: top})

		entries := func(all ...*raft.Log) raft.AppendEntriesRequest {
			return raft.AppendEntriesRequest{RPCHeader: a.header, Term: a.term, PrevLogEntry: last, Entries: all}
		}
		a.append("no entry where one is told", entries(nil))
		a.append("an entry that leaves a gap", entries(&raft.Log{Index: last + 2, Term: a.term}))
		a.append("an entry of a later term", entries(&raft.Log{Index: last + 1, Term: a.term + 1}))
		a.append("an entry of no known type", entries(&raft.Log{Index: last + 1, Term: a.term, Type: 77}))
		a.append("a configuration that cannot be read", entries(&raft.Log{
			Index: last + 1, Term: a.term, Type: raft.LogConfiguration, Data: []byte("\xc1nonsense"),
		}))
		a.refused("an order to lead", func(id raft.ServerID, target raft.ServerAddress) error {
			return a.client.TimeoutNow(id, target, &raft.TimeoutNowRequest{RPCHeader: a.header}, new(raft.TimeoutNowResponse))
		})
		a.well()
	}
}

// TestTransport_OldTermIsAnswered: a message that is merely late is Raft's to refuse.
func TestTransport_OldTermIsAnswered(t *testing.T) {
	a := attack(t, true)
	id, target := a.target()
	var answer raft.AppendEntriesResponse
	err := a.client.AppendEntries(id, target, &raft.AppendEntriesRequest{RPCHeader: a.header, Term: a.term - 1, PrevLogEntry: 1}, &answer)
	if err != nil || answer.Success || answer.Term < a.term {
		t.Errorf("answered %+v, %v", answer, err)
	}
	a.well()
}

func TestTransport_FloodOfVotesIsBounded(t *testing.T) {
	a := attack(t, true)
	a.refused("a flood", func(id raft.ServerID, target raft.ServerAddress) error {
		for range 20 * votesBurst {
			r := &raft.RequestPreVoteRequest{RPCHeader: a.header, Term: a.term}
			if err := a.client.RequestPreVote(id, target, r, new(raft.RequestPreVoteResponse)); err != nil {
				return err
			}
		}
		return nil
	})
	a.well()
}

// snapshotOf is an InstallSnapshot that promises so many bytes.
func (a *attacker) snapshotOf(size int64) raft.InstallSnapshotRequest {
	return raft.InstallSnapshotRequest{
		RPCHeader: a.header, SnapshotVersion: 1, Term: a.term, LastLogIndex: 1 << 40, LastLogTerm: a.term, Size: size,
		Configuration: raft.EncodeConfiguration(raft.Configuration{}), ConfigurationIndex: 1,
	}
}

func (a *attacker) install(r raft.InstallSnapshotRequest, data io.Reader) error {
	id, target := a.target()
	var answer raft.InstallSnapshotResponse
	err := a.client.InstallSnapshot(id, target, &r, &answer, data)
	if err == nil && !answer.Success {
		err = errors.New("not installed")
	}
	return err
}

func TestTransport_SnapshotsThatCannotBe(t *testing.T) {
	a := attack(t, false)
	for what, size := range map[string]int64{"of 2^63-1 bytes": math.MaxInt64, "of -1 bytes": -1, "of no bytes": 0} {
		a.refused("a snapshot "+what, func(raft.ServerID, raft.ServerAddress) error {
			return a.install(a.snapshotOf(size), strings.NewReader("x"))
		})
	}
	unreadable := a.snapshotOf(1)
	unreadable.Configuration = []byte{0xc1}
	a.refused("a snapshot with a bad configuration", func(raft.ServerID, raft.ServerAddress) error {
		return a.install(unreadable, strings.NewReader("x"))
	})
	// What is within the bounds is Raft's and the store's to refuse: the connection goes on.
	if err := a.install(a.snapshotOf(1<<20), bytes.NewReader(make([]byte, 1<<20))); err == nil {
		t.Error("zeros were installed")
	}
	a.well()
}

// TestTransport_SnapshotThatNeverEnds: Raft reads a snapshot on its main goroutine, and stands still until it has come.
func TestTransport_SnapshotThatNeverEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for messageWait")
	}
	t.Parallel() // it waits
	a := attack(t, false)
	silent, stop := io.Pipe()
	defer stop.Close()
	go func() { _ = a.install(a.snapshotOf(1<<30), io.MultiReader(strings.NewReader("beginning"), silent)) }()
	begun := time.Now()
	eventually(t, "an append has to wait", func() bool {
		for _, g := range a.c.groups {
			if g == nil || !g.Serving() {
				continue
			}
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				_, _ = g.Propose(AppendEntry(nil, wire.OldestFormat, 1, 1, AppendCommand(nil, AckOutbox{}))).Wait()
			}()
			select {
			case <-answered:
			case <-time.After(messageWait / 10):
				return true
			}
		}
		return false
	})
	a.well()
	if took := time.Since(begun); took < messageWait/2 || took > 2*messageWait-time.Second {
		t.Errorf("the group stood still for %s", took)
	}
}

// rawBytes are messages that are no msgpack of Raft's.
func rawBytes() map[string][]byte {
	huge := func(kind byte, size uint32, field string) []byte { // a map of one field, that has so much to come
		b := append([]byte{rpcAppendEntries, 0x81, 0xa0 + byte(len(field))}, field...)
		return append(binary.BigEndian.AppendUint32(append(b, kind), size), "x"...)
	}
	deep := append([]byte{rpcAppendEntries, 0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 8<<20)...)
	return map[string][]byte{
		"an unknown kind":          {9},
		"kind 255":                 {255, 0x80},
		"bytes of 2 GiB":           huge(0xc6, math.MaxInt32, "Leader"),
		"a string of 4 GiB":        huge(0xdb, math.MaxUint32, "Leader"),
		"2^31 entries":             huge(0xdd, 1<<31, "Entries"),
		"2^32-1 fields":            append([]byte{rpcRequestVote, 0xdf}, 0xff, 0xff, 0xff, 0xff, 0xa1, 'x', 0x01),
		"nests eight million deep": deep,
		"wrong types":              append([]byte{rpcAppendEntries, 0x81, 0xa4}, "Term\xa3abc"...),
		"a negative term":          append([]byte{rpcAppendEntries, 0x81, 0xa4}, "Term\xff"...),
		"more than a message":      append(huge(0xc6, math.MaxUint32, "Leader"), make([]byte, maxMessageBytes+1)...),
		"not a map":                {rpcTimeoutNow, 0xc3},
		"a byte that is not used":  {rpcInstallSnapshot, 0xc1},
	}
}

func TestTransport_BytesThatAreNoMessage(t *testing.T) {
	a := attack(t, false)
	for what, text := range rawBytes() {
		before := a.forged()
		runtime.GC()
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		c := a.dial()
		_ = c.SetDeadline(time.Now().Add(3 * messageWait))
		_, err := c.Write(text)
		if err == nil {
			if half, ok := c.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			_, err = io.Copy(io.Discard, c)
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Errorf("%s: the connection stays open", what)
		}
		c.Close()
		eventually(t, what+" is counted", func() bool { return a.forged() > before })
		runtime.ReadMemStats(&end)
		if grown := int64(end.HeapSys) - int64(start.HeapSys); grown > 1<<30 {
			t.Errorf("%s: the heap has grown by %d MiB", what, grown>>20)
		}
	}
	a.well()
}

// dial opens a connection as the attacker's own transport does.
func (a *attacker) dial() net.Conn {
	a.t.Helper()
	_, target := a.target()
	c, err := a.layer.Dial(target, 20*time.Second)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// TestTransport_BytesOfAnEarlierSession: what was sent once over TCP makes no sense in another session of TLS.
func TestTransport_BytesOfAnEarlierSession(t *testing.T) {
	dev := newAuthority(t)
	n1, n2 := secureMux(t, dev.keys(trust.Node, "n1"), nil), secureMux(t, dev.keys(trust.Node, "n2"), nil)
	var sent bytes.Buffer
	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	recorded := make(chan struct{})
	go func() { // between the two, as one who listens on the wire
		defer close(recorded)
		in, err := relay.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp", n1.Addr())
		if err != nil {
			return
		}
		defer out.Close()
		go func() { _, _ = io.Copy(in, out) }()
		_, _ = io.Copy(out, io.TeeReader(in, &sent))
	}()
	if _, err := n2.FetchCard(context.Background(), relay.Addr().String(), "n1"); err != nil {
		t.Fatal(err)
	}
	<-recorded
	before := n1.Counts().Stranger
	c, err := net.Dial("tcp", n1.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(sent.Bytes())
	_ = c.SetReadDeadline(time.Now().Add(4 * muxHeaderWait))
	_, _ = io.Copy(io.Discard, c) // the handshake, up to where it fails
	eventually(t, "the replay is counted", func() bool { return n1.Counts().Stranger > before })
}

// FuzzTransport reads messages as a connection brings them, and judges them.
func FuzzTransport(f *testing.F) {
	for what, text := range rawBytes() {
		if len(text) < 1000 {
			f.Add(text)
		}
		_ = what
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			_, _ = theirs.Write(text)
			theirs.Close()
		}()
		c := newRaftConn(&muxConn{Conn: ours, peer: "n2"})
		for {
			kind, err := c.next()
			if err != nil {
				return
			}
			rpc, err := c.decode(kind)
			if err != nil {
				return
			}
			with := rpc.Command.(raft.WithRPCHeader)
			if c.checkSender(with.GetRPCHeader()) == nil {
				if name, err := wire.ParseReplicaID(string(with.GetRPCHeader().ID)); err != nil || name.Node != "n2" {
					t.Fatalf("a message of %v is taken for one of n2", name)
				}
			}
			if r, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
				_ = checkEntries(r)
			}
		}
	})
}
