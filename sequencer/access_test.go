package sequencer

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quorate/quorate/trust"
)

func TestRight_OfRoles(t *testing.T) {
	all := []right{rightUnset, rightAny, rightRead, rightWrite, rightAll}
	for role, want := range map[trust.Role][]bool{
		trust.Node:     {false, true, true, true, true},
		trust.Operator: {false, true, true, true, true},
		trust.Edge:     {false, true, true, true, false},
		trust.Reader:   {false, true, true, false, false},
		"":             {false, false, false, false, false},
		"root":         {false, false, false, false, false},
	} {
		for i, r := range all {
			if got := r.of(role); got != want[i] {
				t.Errorf("right %d of %q: %v", r, role, got)
			}
		}
	}
}

func TestCommand_NeedsLessForReads(t *testing.T) {
	for _, tt := range []struct {
		line []string
		want right
	}{
		{[]string{"CHAT.MEMBERS", "tea"}, rightRead},
		{[]string{"chat.members", "tea", "ADD", "bob"}, rightWrite},
		{[]string{"CLUSTER", "slots"}, rightRead},
		{[]string{"CLUSTER", "DRAIN", "n1"}, rightAll},
		{[]string{"CLUSTER", "SLOTSX"}, rightAll},
		{[]string{"CLUSTER", "SETTINGS"}, rightRead},
		{[]string{"CLUSTER", "SET", "moves", "1"}, rightAll},
		{[]string{"LEASE", "GET", "a"}, rightRead},
		{[]string{"LEASE", "LIST", "a"}, rightRead},
		{[]string{"LEASE", "RENEW", "me", "1000", "a"}, rightWrite},
		{[]string{"LEASE", "DROP", "a", "me", "1"}, rightWrite},
		{[]string{"USER.SEEN", "ann"}, rightRead},
		{[]string{"USER.SEEN", "ann", "at", "1"}, rightWrite},
		{[]string{"USER.DEVICES", "ann"}, rightRead},
		{[]string{"USER.DEVICES", "ann", "stale"}, rightRead},
		{[]string{"USER.DEVICES", "ann", "REMOVE", "phone"}, rightWrite},
		{[]string{"USER.DEVICES", "ann", "REMOVE"}, rightWrite},
		{[]string{"USER.MUTE", "ann", "tea", "0"}, rightWrite},
		{[]string{"RAFT", "PEERS"}, rightRead},
		{[]string{"RAFT", "TRANSFER", "0"}, rightAll},
		{[]string{"USER.PUTCHAT", "ann", "tea", "0", "0", "0", "0"}, rightAll},
	} {
		a := make(args, len(tt.line))
		for i, word := range tt.line {
			a[i] = []byte(word)
		}
		if got := lookup(a[0]).needs(a); got != tt.want {
			t.Errorf("%q needs %d, want %d", tt.line, got, tt.want)
		}
	}
}

func tcp(addr string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

func TestFailures_BoundTheTriesOfAnAddress(t *testing.T) {
	now := time.Unix(1000, 0)
	f := newFailures(func() time.Time { return now })
	spend := func(addr string) (n int) {
		for n < 10*triesBurst && f.take(tcp(addr)) {
			n++
		}
		return n
	}
	if n := spend("10.0.0.1:1"); n != triesBurst {
		t.Errorf("%d tries at once, want %d", n, triesBurst)
	}
	if n := spend("10.0.0.1:2"); n != 0 {
		t.Errorf("%d tries on another connection", n)
	}
	if n := spend("10.0.0.2:1"); n != triesBurst {
		t.Errorf("%d tries from another address", n)
	}
	now = now.Add(2 * time.Second)
	if n := spend("10.0.0.1:3"); n != 2*triesPerSecond {
		t.Errorf("%d tries after two seconds, want %d", n, 2*triesPerSecond)
	}
	now = now.Add(time.Hour)
	if n := spend("[::ffff:10.0.0.1]:3"); n != triesBurst {
		t.Errorf("%d tries after an hour", n)
	}
	if spend("[2001:db8::1]:1"); f.take(tcp("[2001:db8::ffff:1]:1")) {
		t.Error("a subnet has more tries than an address")
	}
}

func TestFailures_RightPasswordsCostNothing(t *testing.T) {
	f := newFailures(time.Now)
	for range 10 * triesBurst {
		if !f.take(tcp("10.0.0.1:1")) {
			t.Fatal("refused")
		}
		f.back(tcp("10.0.0.1:1"))
	}
	if len(f.left) > 1 {
		t.Errorf("%d addresses are remembered", len(f.left))
	}
}

func TestFailures_RememberABoundedNumber(t *testing.T) {
	f := newFailures(time.Now)
	for i := range 3 * maxAddresses {
		ip := net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))
		f.take(&net.TCPAddr{IP: ip, Port: 1})
	}
	if len(f.left) > maxAddresses {
		t.Errorf("%d addresses are remembered, want at most %d", len(f.left), maxAddresses)
	}
}
