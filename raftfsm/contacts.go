package raftfsm

import (
	"sync"

	"github.com/hashicorp/raft"
)

// contacts tells a proof of leadership from a late answer. raft counts an answer of a follower for every proof that has begun when it looks at
// it, whenever it was asked: one that came just before a proof, or before this process stood still for a while in which others elected a leader,
// would prove what is no longer true. So a proof is a round here, and only what was sent in its round or later counts. Safe for concurrent use.
type contacts struct {
	mu    sync.Mutex
	round uint64
	heard map[raft.ServerID]contact
}

// contact is the newest request that a follower has answered as one of its leader's.
type contact struct{ term, round uint64 }

func newContacts() *contacts { return &contacts{heard: map[raft.ServerID]contact{}} }

// begin begins a round and gives its number. What was answered in those before is forgotten, so one proof may be under way at a time.
func (c *contacts) begin() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	clear(c.heard)
	return c.round
}

// sending gives the round in which a request is sent.
func (c *contacts) sending() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.round
}

// answered notes that a follower took a request, sent in a round, as one of its leader in a term.
func (c *contacts) answered(id raft.ServerID, term, round uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.heard[id]; term > h.term || term == h.term && round > h.round {
		c.heard[id] = contact{term, round}
	}
}

// majority reports whether, with this node, self, a majority of the voters has answered what was sent in a round of a term or later.
func (c *contacts) majority(servers []raft.Server, self raft.ServerID, term, round uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	voters, votes := 0, 1
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if h := c.heard[s.ID]; s.ID != self && h.term == term && h.round >= round {
			votes++
		}
	}
	return votes > voters/2
}

// provenTransport notes what followers answer.
type provenTransport struct {
	settledTransport
	contacts *contacts
}

// AppendEntries sends entries, a commit index or a heartbeat to a follower and waits for its answer.
func (p provenTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	round := p.contacts.sending()
	err := p.settledTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term <= args.Term {
		p.contacts.answered(id, args.Term, round)
	}
	return err
}
