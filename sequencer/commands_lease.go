package sequencer

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/quorate/quorate/raftfsm"
	"github.com/quorate/quorate/sequencer/wire"
)

// leaseCommand is LEASE TAKE name holder ms, LEASE RENEW holder ms name …, LEASE DROP name holder epoch, LEASE GET name and
// LEASE LIST prefix.
func leaseCommand(c *conn, k *call, a args) error {
	meta := c.node.replicas().meta
	if meta == nil {
		return wire.ErrClusterDown
	}
	switch {
	case a.is(1, "TAKE") && len(a) == 5:
		return leaseTake(k, meta, a)
	case a.is(1, "RENEW") && len(a) >= 5:
		return leaseRenew(k, meta, a)
	case a.is(1, "DROP") && len(a) == 5:
		return leaseDrop(k, meta, a)
	case a.is(1, "GET") && len(a) == 3:
		return leaseGet(k, meta, a)
	case a.is(1, "LIST") && len(a) == 3:
		return leaseList(k, meta, a)
	case a.is(1, "HELP") && len(a) == 2:
		return helped(k, "LEASE TAKE name holder ms", "LEASE RENEW holder ms name [name …]", "LEASE DROP name holder epoch",
			"LEASE GET name", "LEASE LIST prefix")
	}
	return unknownSub("LEASE", a)
}

// leaseCost is what an answer about many leases may have.
func leaseCost(_ *conn, a args) int {
	if a.is(1, "LIST") {
		return wire.MaxListedLeases * lineBytes
	}
	return len(a) * lineBytes
}

func leaseTake(k *call, meta *host, a args) error {
	cmd, err := takeLease(a, 2, 3, 4)
	if err != nil {
		return err
	}
	return k.lease(meta, cmd)
}

// takeLease makes the command of the words at these places.
func takeLease(a args, name, holder, ms int) (cmd raftfsm.TakeLease, err error) {
	cmd.Name, cmd.Holder = strings.Clone(a.str(name)), strings.Clone(a.str(holder))
	if err := wire.CheckLeaseName(cmd.Name); err != nil {
		return cmd, err
	}
	if err := wire.CheckLeaseHolder(cmd.Holder); err != nil {
		return cmd, err
	}
	n, err := a.number(ms, "ms", 1, wire.MaxLeaseMillis)
	cmd.For = wire.Millis(n)
	return cmd, err
}

func leaseDrop(k *call, meta *host, a args) error {
	cmd := raftfsm.DropLease{Name: string(a[2]), Holder: string(a[3])}
	if err := wire.CheckLeaseName(cmd.Name); err != nil {
		return err
	}
	if err := wire.CheckLeaseHolder(cmd.Holder); err != nil {
		return err
	}
	var err error
	if cmd.Epoch, err = a.number(4, "epoch", 1, uint64(wire.MaxSeq)); err != nil {
		return err
	}
	return k.lease(meta, cmd)
}

// lease submits a command about one lease.
func (k *call) lease(meta *host, cmd raftfsm.Command) error {
	k.encode = func(r *reply, k *call) { leaseMap(r, k.res.Lease, 0) }
	meta.submit(cmd, 0, k)
	k.conn.wrote(meta, k)
	return nil
}

// renewals is a LEASE RENEW under way: one command of the log per lease, answered together.
type renewals struct {
	call  *call
	left  atomic.Int32 // leases that are not yet answered
	parts []renewal
}

// renewal is what becomes of one lease.
type renewal struct {
	all   *renewals
	lease wire.Lease
	err   error // of the lease
	fate  error // of the command: it did not come to the log, or nobody knows
}

func leaseRenew(k *call, meta *host, a args) error {
	const names = 4
	n := len(a) - names
	if n > wire.MaxRenewals {
		return fmt.Errorf("%w: at most %d leases", wire.ErrTooLarge, wire.MaxRenewals)
	}
	cmds := make([]raftfsm.TakeLease, n)
	for i := range cmds {
		var err error
		if cmds[i], err = takeLease(a, names+i, 2, 3); err != nil {
			return err
		}
	}
	all := &renewals{call: k, parts: make([]renewal, n)}
	k.encode = all.write
	all.left.Store(int32(n))
	for i := range cmds {
		all.parts[i].all = all
		meta.submit(cmds[i], 0, &all.parts[i])
	}
	k.conn.wrote(meta, k)
	return nil
}

// complete takes what became of one lease. The last one answers for all.
func (p *renewal) complete(res raftfsm.Result, err error) {
	p.lease, p.err, p.fate = res.Lease, res.Err, err
	if p.all.left.Add(-1) == 0 {
		p.all.call.finish()
	}
}

// write answers the error of any command that has to be sent again; otherwise an array with each lease or its error, in
// their order.
func (all *renewals) write(r *reply, _ *call) {
	for i := range all.parts {
		if fate := all.parts[i].fate; fate != nil {
			r.err(fate)
			return
		}
	}
	r.array(len(all.parts))
	for i := range all.parts {
		if err := all.parts[i].err; err != nil {
			r.err(err)
			continue
		}
		leaseMap(r, all.parts[i].lease, 0)
	}
}

func leaseGet(k *call, meta *host, a args) error {
	name := string(a[2])
	if err := wire.CheckLeaseName(name); err != nil {
		return err
	}
	return k.readHere(meta, func(s *raftfsm.Store, r *reply) error {
		l, err := s.Lease(name)
		if err == nil {
			leaseMap(r, l, 0)
		}
		return err
	})
}

// leaseList answers what is held, and for how long still by this node's clock.
func leaseList(k *call, meta *host, a args) error {
	prefix := string(a[2])
	if err := wire.CheckLeasePrefix(prefix); err != nil {
		return err
	}
	return k.readHere(meta, func(s *raftfsm.Store, r *reply) error {
		leases, more, err := s.Leases(prefix, wire.MaxListedLeases)
		if err != nil {
			return err
		}
		if more {
			return fmt.Errorf("%w: more than %d leases begin with that", wire.ErrTooLarge, wire.MaxListedLeases)
		}
		now := k.conn.node.cfg.Clock()
		r.array(len(leases))
		for _, l := range leases {
			leaseMap(r, l, 1)
			r.fieldInt("left", int64(l.Until)-int64(now))
		}
		return nil
	})
}

// leaseMap adds a lease, as a map with more fields to follow.
func leaseMap(r *reply, l wire.Lease, more int) {
	r.maps(4 + more)
	r.fieldStr("name", l.Name)
	r.fieldStr("holder", l.Holder)
	r.fieldInt("epoch", int64(l.Epoch))
	r.fieldInt("until", int64(l.Until))
}
