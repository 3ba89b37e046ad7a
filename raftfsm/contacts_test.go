package raftfsm

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestContacts_OnlyWhatIsAskedInTheRoundCounts(t *testing.T) {
	servers := []raft.Server{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d", Suffrage: raft.Nonvoter}}
	c := newContacts()
	before := c.sending()
	round := c.begin()
	demand := func(what string, want bool) {
		t.Helper()
		if got := c.majority(servers, "a", 7, round); got != want {
			t.Errorf("%s: a majority is %v", what, got)
		}
	}
	demand("nobody has answered", false)
	c.answered("b", 7, before)
	demand("what was sent before the round", false)
	c.answered("b", 6, c.sending())
	demand("in an earlier term", false)
	c.answered("a", 7, c.sending())
	demand("by itself", false)
	c.answered("d", 7, c.sending())
	demand("by one who has no vote", false)
	c.answered("b", 7, c.sending())
	demand("one of two others", true)
	c.answered("b", 7, before)
	demand("and an older answer comes later", true)
	if round = c.begin(); c.majority(servers, "a", 7, round) {
		t.Error("the last round's answer counts in this one")
	}
	if !c.majority(servers[:1], "a", 7, round) {
		t.Error("one alone is no majority of one")
	}
}

// TestGroup_AnAnswerFromBeforeIsNoProof: what proves one read proves no later one.
func TestGroup_AnAnswerFromBeforeIsNoProof(t *testing.T) {
	c := newTrio(t, nil)
	c.append(5)
	g := c.groups[c.leader()]
	if err := g.ReadBarrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	proved := func(round uint64) bool {
		servers := g.raft.GetConfiguration().Configuration().Servers
		return g.contacts.majority(servers, g.cfg.self().serverID(), g.servingTerm(), round)
	}
	if round := g.contacts.sending(); !proved(round) {
		t.Errorf("a read was served in round %d, which no majority has answered", round)
	}
	if proved(g.contacts.sending() + 1) {
		t.Error("a round that has not begun is proved")
	}
}
