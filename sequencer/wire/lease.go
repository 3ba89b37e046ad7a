package wire

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Lease is a right of one holder that ends by time.
type Lease struct {
	Name   string
	Holder string // "" where it is free
	Epoch  uint64 // one more with each new holder: what an old one still does can be told by it
	Until  Millis // by the clock of the leader that granted it
}

// The limits of leases.
const (
	MaxLeaseBytes   = 200       // of a name, and of a holder; of a consumer of feeds too
	MaxLeaseMillis  = 3_600_000 // that one may be taken for at a time
	MaxRenewals     = 256       // in one LEASE RENEW
	MaxListedLeases = 4096      // in the answer to one LEASE LIST
)

// CheckLeaseName tells whether s may name a lease: ids with slashes between them, MaxLeaseBytes at most. The error wraps
// ErrBadRequest.
func CheckLeaseName(s string) error {
	return checkPath("the name of a lease", s)
}

// CheckConsumer tells whether s may name a consumer of feeds: the form is that of a lease's name. The error wraps
// ErrBadRequest.
func CheckConsumer(s string) error { return checkPath("the name of a consumer", s) }

func checkPath(what, s string) error {
	if len(s) > MaxLeaseBytes {
		return fmt.Errorf("%w: %s has at most %d bytes", ErrBadRequest, what, MaxLeaseBytes)
	}
	for part := range strings.SplitSeq(s, "/") {
		if err := CheckID("a part of "+what, part); err != nil {
			return err
		}
	}
	return nil
}

// CheckLeasePrefix tells whether names of leases can begin with s. The error wraps ErrBadRequest.
func CheckLeasePrefix(s string) error {
	if len(s) > MaxLeaseBytes {
		return fmt.Errorf("%w: a prefix of leases has at most %d bytes", ErrBadRequest, MaxLeaseBytes)
	}
	for i := 0; i < len(s); i++ {
		if !idByte[s[i]] && s[i] != '/' {
			return fmt.Errorf("%w: names of leases hold only letters, digits, '.', '_', '-' and '/'", ErrBadRequest)
		}
	}
	return nil
}

// CheckLeaseHolder tells whether s may hold a lease: an id, or id@host:port where the holder says where it listens. The
// error wraps ErrBadRequest.
func CheckLeaseHolder(s string) error {
	if len(s) > MaxLeaseBytes {
		return fmt.Errorf("%w: the holder of a lease has at most %d bytes", ErrBadRequest, MaxLeaseBytes)
	}
	id, addr, listens := strings.Cut(s, "@")
	if err := CheckID("holder", id); err != nil || !listens {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || port[0] == '0' || !isHost(host) {
		return fmt.Errorf("%w: behind '@' the holder of a lease must say host:port", ErrBadRequest)
	}
	return nil
}

// isHost reports whether s is an IP address without a zone, or may be a name in DNS.
func isHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if !idByte[label[i]] || label[i] == '.' {
				return false
			}
		}
	}
	return true
}
