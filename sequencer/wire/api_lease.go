package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// LeaseResult is what became of one lease: as it is now, or ErrConflict where another holds it.
type LeaseResult struct {
	Lease
	Err error
}

// HeldLease is a lease that somebody holds.
type HeldLease struct {
	Lease
	Left time.Duration // until its end, by the clock of the node that answered; negative when it is over
}

// RenewLeases takes or prolongs leases, each for d from when it is granted. The results are in the order of the names. A
// caller may count on a lease for d from before the call, and no longer: where the call fails, some may have been granted.
// More names than MaxRenewals go in several commands, one after the other.
func (c *Client) RenewLeases(ctx context.Context, holder string, d time.Duration, names []string) ([]LeaseResult, error) {
	results := make([]LeaseResult, 0, len(names))
	for len(names) > 0 {
		part := names[:min(len(names), MaxRenewals)]
		args := append([]string{"LEASE", "RENEW", holder, strconv.FormatInt(d.Milliseconds(), 10)}, part...)
		got, err := callMeta(ctx, c, decodeRenewals(part), args...)
		if err != nil {
			return nil, err
		}
		results, names = append(results, got...), names[len(part):]
	}
	return results, nil
}

// DropLease gives a lease back before its end. It is ErrConflict where the caller does not hold it under that epoch.
func (c *Client) DropLease(ctx context.Context, name, holder string, epoch uint64) error {
	_, err := callMeta(ctx, c, decodeLease, "LEASE", "DROP", name, holder, strconv.FormatUint(epoch, 10))
	return err
}

// ListLeases gives the leases that are held and whose names begin with prefix, ascending by name, as some node knows them: it
// may be behind. More than MaxListedLeases are ErrTooLarge.
func (c *Client) ListLeases(ctx context.Context, prefix string) ([]HeldLease, error) {
	return callMeta(ctx, c, decodeHeldLeases, "LEASE", "LIST", prefix)
}

// Settings gives the settings of the cluster, as some node knows them: it may be behind. What is not set is not there.
func (c *Client) Settings(ctx context.Context) (map[string]string, error) {
	return callMeta(ctx, c, decodeSettings, "CLUSTER", "SETTINGS")
}

// callMeta is call of a command for the leader of the meta group. One that any node answers goes there too, or while that
// does not answer to another.
func callMeta[T any](ctx context.Context, c *Client, decode func(Reply) (T, error), args ...string) (T, error) {
	r, err := c.await(ctx, &request{meta: true, args: args})
	if err != nil {
		var zero T
		return zero, err
	}
	return decode(r)
}

func decodeLease(r Reply) (Lease, error) {
	f := fields{Reply: r}
	l := f.lease()
	return l, f.err
}

// lease reads the fields of a lease.
func (f *fields) lease() Lease {
	l := Lease{Name: f.str("name"), Holder: f.str("holder"), Epoch: f.num("epoch"), Until: f.millis("until")}
	if CheckLeaseName(l.Name) != nil {
		f.fail("name", errors.New("no name of a lease"))
	}
	return l
}

// decodeRenewals reads the answer to LEASE RENEW of these names.
func decodeRenewals(names []string) func(Reply) ([]LeaseResult, error) {
	return func(r Reply) ([]LeaseResult, error) {
		if r.kind != KindArray || len(r.elems) != len(names) {
			return nil, fmt.Errorf("%w: not an array of %d leases", errReply, len(names))
		}
		results := make([]LeaseResult, len(names))
		for i, e := range r.elems {
			if results[i].Name, results[i].Err = names[i], e.Err(); results[i].Err != nil {
				continue
			}
			l, err := decodeLease(e)
			if err == nil && l.Name != names[i] {
				err = fmt.Errorf("%w: not the lease that was asked for", errReply)
			}
			if err != nil {
				return nil, err
			}
			results[i].Lease = l
		}
		return results, nil
	}
}

func decodeHeldLeases(r Reply) ([]HeldLease, error) {
	if r.kind != KindArray {
		return nil, fmt.Errorf("%w: not an array of leases", errReply)
	}
	held := make([]HeldLease, len(r.elems))
	for i := range r.elems {
		f := fields{Reply: r.elems[i]}
		held[i].Lease = f.lease()
		left, err := f.Field("left").Int()
		if err != nil {
			f.fail("left", err)
		}
		if f.err != nil {
			return nil, f.err
		}
		held[i].Left = time.Duration(left) * time.Millisecond
	}
	return held, nil
}

func decodeSettings(r Reply) (map[string]string, error) {
	if r.kind != KindMap && r.kind != KindArray || len(r.elems)%2 != 0 {
		return nil, fmt.Errorf("%w: not a map of settings", errReply)
	}
	settings := make(map[string]string, len(r.elems)/2)
	for i := 0; i < len(r.elems); i += 2 {
		settings[r.elems[i].Str()] = r.elems[i+1].Str()
	}
	return settings, nil
}
