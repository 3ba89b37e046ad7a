package raftfsm

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
	"golang.org/x/time/rate"

	"github.com/quorate/quorate/sequencer/wire"
)

const (
	maxTermJump    = 1 << 32 // of a message over the term here. Elections add one each; a forged term may use up all that are left
	votesPerSecond = 50      // messages of one node that want an election or a vote in it; a group in order has a few
	votesBurst     = 100
	maxVoters      = 64 // nodes whose votes are counted apart
)

// guard judges what comes from other replicas, before Raft sees it. With TLS it is known who sends; without, what a
// message says of its sender is believed, and the port is on loopback.
type guard struct {
	raft        *raft.Raft                    // set before the first message
	maxSnapshot int64                         // bytes
	holds       func(index, term uint64) bool // whether the log has all that a snapshot holds

	mu    sync.Mutex
	votes map[string]*rate.Limiter // by node; without TLS by the replica that is said to send
}

func newGuard(maxSnapshot int64) *guard {
	return &guard{maxSnapshot: maxSnapshot, votes: map[string]*rate.Limiter{}}
}

// judge is nil for a message that may pass.
func (g *guard) judge(c *raftConn, command any) error {
	with, ok := command.(raft.WithRPCHeader)
	if !ok {
		return fmt.Errorf("%w: a %T", errForged, command)
	}
	header := with.GetRPCHeader()
	if err := c.checkSender(header); err != nil {
		return err
	}
	switch r := command.(type) {
	case *raft.AppendEntriesRequest:
		if err := g.checkTerm(r.Term, r.PrevLogTerm); err != nil {
			return err
		}
		return checkEntries(r)
	case *raft.RequestVoteRequest:
		if err := g.checkTerm(r.Term, r.LastLogTerm); err != nil {
			return err
		}
		return g.countVote(c.peer, header)
	case *raft.RequestPreVoteRequest:
		if err := g.checkTerm(r.Term, r.LastLogTerm); err != nil {
			return err
		}
		return g.countVote(c.peer, header)
	case *raft.InstallSnapshotRequest:
		if err := g.checkTerm(r.Term, r.LastLogTerm); err != nil {
			return err
		}
		return g.checkSnapshot(r)
	case *raft.TimeoutNowRequest:
		if err := g.countVote(c.peer, header); err != nil {
			return err
		}
		return g.checkHandOver(header)
	}
	return nil
}

// checkSender looks that a message says of its sender what the certificate says: the replica is one on that node, and the
// address is that replica's.
func (c *raftConn) checkSender(h raft.RPCHeader) error {
	if c.peer == "" {
		return nil
	}
	if !bytes.Equal(h.ID, c.id) || len(h.ID) == 0 {
		name, err := wire.ParseReplicaID(string(h.ID))
		if err != nil || name.Node != c.peer {
			return fmt.Errorf("%w: node %s says it is %.80q", errForged, c.peer, h.ID)
		}
		c.id = bytes.Clone(h.ID)
	}
	if named, _, ok := bytes.Cut(h.Addr, []byte{'@'}); !ok || !bytes.Equal(named, h.ID) {
		return fmt.Errorf("%w: node %s says it is at %.80q", errForged, c.peer, h.Addr)
	}
	return nil
}

// checkTerm looks that a message leaves terms for elections to come, and does not know of logs from after itself.
func (g *guard) checkTerm(term, logTerm uint64) error {
	if now := g.raft.CurrentTerm(); term > now && term-now > maxTermJump {
		return fmt.Errorf("%w: term %d, when the term here is %d", errForged, term, now)
	}
	if logTerm > term {
		return fmt.Errorf("%w: a log of term %d in term %d", errForged, logTerm, term)
	}
	return nil
}

// checkEntries looks that entries follow each other and are such as Raft can store: it trusts them and panics otherwise.
func checkEntries(r *raft.AppendEntriesRequest) error {
	for i, e := range r.Entries {
		if e == nil || e.Index != r.PrevLogEntry+1+uint64(i) || e.Term > r.Term {
			return fmt.Errorf("%w: entries that do not follow each other", errForged)
		}
		switch e.Type {
		case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
		case raft.LogConfiguration:
			if err := checkConfiguration(e.Data); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: an entry of type %d", errForged, e.Type)
		}
	}
	return nil
}

// checkSnapshot looks at what is told of a snapshot before it is sent.
func (g *guard) checkSnapshot(r *raft.InstallSnapshotRequest) error {
	switch {
	case r.Size <= 0 || r.Size > g.maxSnapshot:
		return fmt.Errorf("%w: a snapshot of %d bytes, at most %d are taken", errForged, r.Size, g.maxSnapshot)
	case r.SnapshotVersion != 1:
		return fmt.Errorf("%w: a snapshot of version %d", errForged, r.SnapshotVersion)
	}
	return checkConfiguration(r.Configuration)
}

// needless reports whether a snapshot of the present leader ends within the log here: it was late, or the leader does not
// know yet. Raft would go back to it.
func (g *guard) needless(r *raft.InstallSnapshotRequest) bool {
	return r.Term == g.raft.CurrentTerm() && g.holds(r.LastLogIndex, r.LastLogTerm)
}

// checkConfiguration looks whether Raft can decode a configuration: where it cannot, it panics.
func checkConfiguration(data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: a configuration that cannot be read: %v", errForged, p)
		}
	}()
	if n := len(raft.DecodeConfiguration(data).Servers); n > maxConfigServers {
		return fmt.Errorf("%w: a configuration of %d replicas", errForged, n)
	}
	return nil
}

// checkHandOver looks that who wants this replica to lead at once is the one that leads.
func (g *guard) checkHandOver(h raft.RPCHeader) error {
	if _, leader := g.raft.LeaderWithID(); leader != raft.ServerID(h.ID) {
		return fmt.Errorf("%w: %.80q hands over a leadership that is with %q", errForged, h.ID, leader)
	}
	return nil
}

// countVote bounds how often a node can stir up elections.
func (g *guard) countVote(peer wire.NodeID, h raft.RPCHeader) error {
	node := string(peer)
	if node == "" {
		node = string(h.ID)
	}
	g.mu.Lock()
	limit := g.votes[node]
	if limit == nil {
		if len(g.votes) >= maxVoters {
			clear(g.votes)
		}
		limit = rate.NewLimiter(votesPerSecond, votesBurst)
		g.votes[node] = limit
	}
	g.mu.Unlock()
	if !limit.Allow() {
		return fmt.Errorf("%w: %.80q wants votes more than %d times a second", errForged, node, votesPerSecond)
	}
	return nil
}
