package sequencer

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	triesBurst     = 50   // wrong passwords that one address has at once
	triesPerSecond = 5    // and those that it gets back
	maxAddresses   = 4096 // that are remembered for wrong passwords
)

// failures bounds how many passwords can be tried from one address, over all its connections. A right one costs nothing.
type failures struct {
	now func() time.Time

	mu   sync.Mutex
	left map[netip.Prefix]tries
}

// tries are those left to an address at a time.
type tries struct {
	count float64
	at    time.Time
}

func newFailures(now func() time.Time) *failures {
	return &failures{now: now, left: map[netip.Prefix]tries{}}
}

// take takes a try, before the password is looked at; it is false where none is left.
func (f *failures) take(addr net.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, now := network(addr), f.now()
	t := f.at(key, now)
	if t.count < 1 {
		return false
	}
	if _, known := f.left[key]; !known && len(f.left) >= maxAddresses {
		f.forget(now)
	}
	f.left[key] = tries{t.count - 1, now}
	return true
}

// back gives a try back: the password was right.
func (f *failures) back(addr net.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, now := network(addr), f.now()
	t := f.at(key, now)
	if t.count+1 >= triesBurst {
		delete(f.left, key)
		return
	}
	f.left[key] = tries{t.count + 1, now}
}

// at gives what is left to an address now.
func (f *failures) at(key netip.Prefix, now time.Time) tries {
	t, known := f.left[key]
	if !known {
		return tries{triesBurst, now}
	}
	return tries{min(triesBurst, t.count+now.Sub(t.at).Seconds()*triesPerSecond), now}
}

// forget makes room: those that have all their tries again go, or else any one.
func (f *failures) forget(now time.Time) {
	for key := range f.left {
		if f.at(key, now).count >= triesBurst {
			delete(f.left, key)
		}
	}
	for key := range f.left {
		if len(f.left) < maxAddresses {
			return
		}
		delete(f.left, key)
	}
}

// network is what counts as one address: of IPv6 a subnet, as whoever has one has all its addresses.
func network(addr net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap(), 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
