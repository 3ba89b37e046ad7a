package raftfsm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// transport is what a replica's Raft talks through. The half that dials is the library's NetworkTransport. The half that
// answers is our own, in the same protocol: only so is it known which connection a message came on, and each message can
// be bounded before it is decoded and judged before Raft sees it. A message passes no more goroutines than before.
type transport struct {
	*raft.NetworkTransport
	layer     *layer
	log       *slog.Logger
	guard     *guard
	heartbeat func(raft.RPC) // set by NewRaft, before serve
	in        chan raft.RPC
	stop      chan struct{}
	once      sync.Once
	done      sync.WaitGroup
	closeErr  error

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)

// Kinds of messages, as NetworkTransport has them.
const (
	rpcAppendEntries byte = iota
	rpcRequestVote
	rpcInstallSnapshot
	rpcTimeoutNow
	rpcRequestPreVote
)

// newTransport opens the half that dials. Nothing is answered before serve.
func newTransport(l *layer, options *raft.Config, log *slog.Logger, maxSnapshot int64) *transport {
	return &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Logger: options.Logger, Stream: dialLayer{l}, MaxPool: transportPool, Timeout: transportTimeout,
			MaxRPCsInFlight:         1, // with more, a follower that once answers with an error can be cut off for good
			MsgpackUseNewTimeFormat: true,
		}),
		layer: l, log: log, guard: newGuard(maxSnapshot), in: make(chan raft.RPC), stop: make(chan struct{}),
		conns: map[net.Conn]struct{}{},
	}
}

// dialLayer is the layer as NetworkTransport gets it: it accepts nothing.
type dialLayer struct{ *layer }

// Accept waits for the end of the layer.
func (l dialLayer) Accept() (net.Conn, error) {
	<-l.closed
	return nil, errMuxClosed
}

// Consumer gives what other replicas send, after it was judged.
func (t *transport) Consumer() <-chan raft.RPC { return t.in }

// SetHeartbeatHandler sets what takes heartbeats, on the goroutine of their connection, so that they pass by what waits.
func (t *transport) SetHeartbeatHandler(take func(raft.RPC)) { t.heartbeat = take }

// serve answers from now on, for r, which has been made with this transport.
func (t *transport) serve(r *raft.Raft) {
	t.guard.raft = r
	t.done.Add(1)
	go func() {
		defer t.done.Done()
		for {
			conn, err := t.layer.Accept()
			if err != nil {
				return
			}
			if t.keep(conn) {
				t.done.Add(1)
				go t.answer(conn)
			}
		}
	}()
}

// Close ends all connections and waits for its goroutines.
func (t *transport) Close() error {
	t.once.Do(func() {
		close(t.stop)
		t.closeErr = t.NetworkTransport.Close() // the layer too
		t.mu.Lock()
		for c := range t.conns {
			_ = c.Close()
		}
		t.mu.Unlock()
		t.done.Wait()
	})
	return t.closeErr
}

func (t *transport) keep(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.stop:
		_ = c.Close()
		return false
	default:
	}
	t.conns[c] = struct{}{}
	return true
}

// errStopped ends a connection at the end of the transport.
var errStopped = errors.New("the replica is closed")

// answer runs one connection: message by message, each answered before the next is read.
func (t *transport) answer(conn net.Conn) {
	defer t.done.Done()
	c := newRaftConn(conn)
	var err error
	for err == nil {
		err = t.one(c)
	}
	t.mu.Lock()
	delete(t.conns, conn)
	t.mu.Unlock()
	_ = conn.Close()
	if errors.Is(err, errForged) {
		t.layer.mux.counts.forged.Add(1)
		t.log.Warn("a raft connection ends for what it sent", "addr", conn.RemoteAddr(), "node", c.peer, "err", err)
	}
}

// one takes one message and answers it.
func (t *transport) one(c *raftConn) error {
	kind, err := c.next()
	if err != nil {
		return err
	}
	rpc, err := c.decode(kind)
	if err != nil {
		return err
	}
	if err := t.guard.judge(c, rpc.Command); err != nil {
		return err
	}
	if r, ok := rpc.Command.(*raft.InstallSnapshotRequest); ok {
		rpc.Reader = c.stream(r.Size)
		if t.guard.needless(r) {
			return c.skip(rpc.Reader, r)
		}
	}
	rpc.RespChan = c.answers
	if isHeartbeat(rpc.Command) {
		t.heartbeat(rpc)
	} else {
		select {
		case t.in <- rpc:
		case <-t.stop:
			return errStopped
		}
	}
	select {
	case answer := <-c.answers:
		return c.reply(answer)
	case <-t.stop:
		return errStopped
	}
}

// isHeartbeat reports whether a message says no more than that its sender leads.
func isHeartbeat(command any) bool {
	r, ok := command.(*raft.AppendEntriesRequest)
	return ok && r.Term != 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0 &&
		(len(r.RPCHeader.Addr) > 0 || len(r.Leader) > 0) //nolint:staticcheck // the field of versions before ours
}

// decode reads a message of a kind.
func (c *raftConn) decode(kind byte) (raft.RPC, error) {
	var command any
	var rpc raft.RPC
	switch kind {
	case rpcAppendEntries:
		command = new(raft.AppendEntriesRequest)
	case rpcRequestVote:
		command = new(raft.RequestVoteRequest)
	case rpcRequestPreVote:
		command = new(raft.RequestPreVoteRequest)
	case rpcTimeoutNow:
		command = new(raft.TimeoutNowRequest)
	case rpcInstallSnapshot:
		command = new(raft.InstallSnapshotRequest)
		rpc.Reader = c.in
	default:
		return rpc, fmt.Errorf("%w: a message of the unknown kind %d", errForged, kind)
	}
	if err := c.dec.Decode(command); err != nil {
		return rpc, fmt.Errorf("%w: %w", errForged, err)
	}
	rpc.Command = command
	return rpc, nil
}

// skip reads a snapshot that is not needed, and answers as if it were installed.
func (c *raftConn) skip(stream io.Reader, r *raft.InstallSnapshotRequest) error {
	n, err := io.Copy(io.Discard, stream)
	if err == nil && n != r.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return c.reply(raft.RPCResponse{Response: &raft.InstallSnapshotResponse{Term: r.Term, Success: true}})
}

// reply writes an answer: the error's text, "" for none, and what Raft says.
func (c *raftConn) reply(answer raft.RPCResponse) error {
	text := ""
	if answer.Error != nil {
		text = answer.Error.Error()
	}
	if err := c.enc.Encode(text); err != nil {
		return err
	}
	if err := c.enc.Encode(answer.Response); err != nil {
		return err
	}
	return c.out.Flush()
}

// newCodec makes the two ends of the format that NetworkTransport speaks.
func newCodec(in *bufio.Reader, out *bufio.Writer) (*codec.Decoder, *codec.Encoder) {
	return codec.NewDecoder(in, &codec.MsgpackHandle{}), codec.NewEncoder(out, &codec.MsgpackHandle{})
}
