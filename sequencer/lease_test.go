package sequencer_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/sequencer/sequencertest"
	"github.com/quorate/quorate/sequencer/wire"
)

// TestLeases_ManyAtOnce has two holders share names: each is told which are the other's.
func TestLeases_ManyAtOnce(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client, ctx := c.Client(), t.Context()
	const hub1, hub2 = "hub-1@10.0.0.1:7000", "hub-2@[::1]:7000"
	names := make([]string, wire.MaxRenewals+44) // two commands
	for i := range names {
		names[i] = fmt.Sprintf("hub/eu-1/group/%03d", i)
	}
	lead := c.Node(c.Leader(wire.MetaGroup))
	before, _ := lead.Batching()
	renewed := func(holder string, names []string) []wire.LeaseResult {
		t.Helper()
		got, err := client.RenewLeases(ctx, holder, time.Hour, names)
		if err != nil || len(got) != len(names) {
			t.Fatalf("%d results, %v", len(got), err)
		}
		return got
	}
	for i, r := range renewed(hub1, names) {
		if r.Err != nil || r.Name != names[i] || r.Holder != hub1 || r.Epoch != 1 || r.Until == 0 {
			t.Fatalf("%s: %+v", names[i], r)
		}
	}
	if after, _ := lead.Batching(); after-before > int64(len(names)/4) {
		t.Errorf("%d entries for %d leases", after-before, len(names))
	}
	mixed := renewed(hub2, []string{names[0], "hub/eu-1/hub-2", names[1]})
	if !errors.Is(mixed[0].Err, wire.ErrConflict) || !errors.Is(mixed[2].Err, wire.ErrConflict) || mixed[2].Name != names[1] {
		t.Errorf("leases of the other: %+v", mixed)
	}
	if mixed[1].Err != nil || mixed[1].Holder != hub2 {
		t.Errorf("a free lease: %+v", mixed[1])
	}
	if one := renewed(hub2, names[:1]); !errors.Is(one[0].Err, wire.ErrConflict) {
		t.Errorf("a single lease of the other: %+v", one)
	}
	if err := client.DropLease(ctx, names[0], hub2, 1); !errors.Is(err, wire.ErrConflict) {
		t.Errorf("dropping what another holds: %v", err)
	}
	if err := client.DropLease(ctx, names[0], hub1, 1); err != nil {
		t.Error(err)
	}
	if r := renewed(hub2, names[:1])[0]; r.Err != nil || r.Epoch != 2 {
		t.Errorf("after it was dropped: %+v", r)
	}
}

// TestLeases_AreListedByEveryNode looks at what each node tells, by the clock of its own.
func TestLeases_AreListedByEveryNode(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client, ctx := c.Client(), t.Context()
	for holder, names := range map[string][]string{"a@h:1": {"hub/eu/1", "hub/eu/2", "hub/eu/3"}, "b@h:2": {"hub/us/1", "hub/e"}} {
		if _, err := client.RenewLeases(ctx, holder, time.Hour, names); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.DropLease(ctx, "hub/eu/2", "a@h:1", 1); err != nil {
		t.Fatal(err)
	}
	var held []wire.HeldLease
	c.Eventually("the node that is asked to know all", func() (known bool) {
		var err error
		if held, err = client.ListLeases(ctx, "hub/eu/"); err != nil {
			t.Fatal(err)
		}
		return len(held) == 2 && held[0].Name == "hub/eu/1" && held[1].Name == "hub/eu/3"
	})
	for _, l := range held {
		if l.Holder != "a@h:1" || l.Epoch != 1 || l.Left <= 0 || l.Left > time.Hour+time.Minute {
			t.Errorf("%+v", l)
		}
	}
	for i, addr := range c.Addrs() {
		node := dial(t, addr)
		c.Eventually(fmt.Sprintf("node %d to list all", i), func() bool {
			return len(list(t, works(t, node.do("LEASE", "LIST", "")))) == 4
		})
		l := fields(t, list(t, works(t, node.do("LEASE", "LIST", "hub/us/")))[0])
		if keys := slices.Sorted(maps.Keys(l)); !slices.Equal(keys, []string{"epoch", "holder", "left", "name", "until"}) {
			t.Errorf("a lease in the list has %v", keys)
		}
	}
}

// TestLeases_FollowTheLeaderOfTheMetaGroup: a client that knows one leader finds the next.
func TestLeases_FollowTheLeaderOfTheMetaGroup(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client, ctx := c.Client(), t.Context()
	hold := func() {
		t.Helper()
		got, err := client.RenewLeases(ctx, "hub-1", time.Hour, []string{"hub/a", "hub/b"})
		if err != nil || got[0].Err != nil || got[1].Err != nil || got[0].Epoch != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	hold()
	failsWith(t, dial(t, c.Addrs()[(c.Leader(wire.MetaGroup)+1)%3]).do("LEASE", "RENEW", "hub-1", "1000", "hub/a"), "MOVED")
	c.Kill(c.Leader(wire.MetaGroup))
	if _, err := client.ListLeases(ctx, "hub/"); err != nil {
		t.Errorf("list without a leader: %v", err)
	}
	hold()
	c.Eventually("the leases in a list", func() bool {
		held, err := client.ListLeases(ctx, "hub/")
		return err == nil && len(held) == 2
	})
}

func TestLeases_ReadsSeeTheWritesBefore(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	works(t, c.settled("LEASE", "TAKE", "x", "me", "60000"))
	c.send(pipelined("LEASE", "RENEW", "me", "60000", "a", "b") + pipelined("LEASE", "LIST", "") + pipelined("LEASE", "GET", "b"))
	works(t, c.next())
	if l := list(t, works(t, c.next())); len(l) != 3 {
		t.Errorf("lists %v", l)
	}
	if l := fields(t, works(t, c.next())); l["holder"] != "me" {
		t.Errorf("gives %v", l)
	}
}

func TestLeases_WrongWordsAreRefused(t *testing.T) {
	c := dial(t, openNode(t, nil).RESPAddr())
	many := []string{"LEASE", "RENEW", "me", "1000"}
	for i := range wire.MaxRenewals + 1 {
		many = append(many, fmt.Sprint("n", i))
	}
	failsWith(t, c.settled(many...), "TOOLARGE")
	for _, command := range [][]string{
		{"LEASE", "RENEW", "me", "1000"},
		{"LEASE", "RENEW", "me", "0", "a"},
		{"LEASE", "RENEW", "me", "3600001", "a"},
		{"LEASE", "RENEW", "me@", "1000", "a"},
		{"LEASE", "RENEW", "me", "1000", "a", "b//c"},
		{"LEASE", "TAKE", "a", "me@host", "1000"},
		{"LEASE", "DROP", "a", "me@host:0", "1"},
		{"LEASE", "LIST", "a b"},
		{"LEASE", "LIST", "a", "b"},
		{"LEASE", "GET", "a/"},
		{"LEASE", "NONSENSE", "a"},
	} {
		failsWith(t, c.do(command...), "ERR")
	}
	works(t, c.do("LEASE", "HELP"))
}

func TestSettings_AreToldByEveryNode(t *testing.T) {
	c := sequencertest.Start(t, 3, 1)
	client := c.Client()
	for _, addr := range c.Addrs() {
		if v := fields(t, works(t, dial(t, addr).settled("CLUSTER", "SETTINGS"))); v["moves"] != nil {
			t.Errorf("settings of a new cluster: %v", v)
		}
	}
	if _, err := client.DoFollow(t.Context(), c.Addrs()[0], "CLUSTER", "SET", "moves", "3"); err != nil {
		t.Fatal(err)
	}
	for _, addr := range c.Addrs() {
		node := dial(t, addr)
		c.Eventually("the setting to arrive", func() bool { return fields(t, works(t, node.do("CLUSTER", "SETTINGS")))["moves"] == "3" })
	}
	if got, err := client.Settings(t.Context()); err != nil || got["moves"] != "3" {
		t.Errorf("%v, %v", got, err)
	}
}
