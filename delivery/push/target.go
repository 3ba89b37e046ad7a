package push

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxEndpointBytes bounds a URL that a device names. Push services use a few hundred bytes.
const maxEndpointBytes = 2048

// KnownPushHosts are the push services of browsers: Chrome and what is built on it, Firefox, Safari, Edge.
var KnownPushHosts = []string{
	"fcm.googleapis.com",
	"android.googleapis.com",
	"jmt17.google.com", // of Chromium without Google's keys, such as Debian's
	"updates.push.services.mozilla.com",
	"*.push.services.mozilla.com",
	"web.push.apple.com",
	"*.push.apple.com",
	"*.notify.windows.com",
}

// hostPatterns is a list of hosts: names, "*.name" for those below one, "*" for all.
type hostPatterns []string

// CheckHosts tells whether lists of hosts can be used as WebPushHosts or WebhookHosts, and as AllowHosts, of a Config.
func CheckHosts(patterns, allowed []string) error {
	_, err := parsePatterns(patterns)
	if err == nil {
		_, err = parseAllowed(allowed)
	}
	return err
}

func parsePatterns(list []string) (hostPatterns, error) {
	for _, p := range list {
		if name := strings.TrimPrefix(p, "*."); p != "*" && !isHostname(name) {
			return nil, fmt.Errorf("push: %q is no pattern of hosts: it must be a lower-case name, \"*.name\", or \"*\"", p)
		}
	}
	return list, nil
}

// names tells whether the host is in the list by more than "*".
func (h hostPatterns) names(host string) bool {
	return slices.ContainsFunc(h, func(p string) bool {
		below, wild := strings.CutPrefix(p, "*")
		return p == host || wild && below != "" && len(host) > len(below) && strings.HasSuffix(host, below)
	})
}

func (h hostPatterns) any() bool { return slices.Contains(h, "*") }

// allowedHosts are the hosts with their ports that may have any address.
type allowedHosts map[string]bool

// parseAllowed takes host and host:port; without a port it is 443.
func parseAllowed(list []string) (allowedHosts, error) {
	all := allowedHosts{}
	for _, entry := range list {
		u, err := url.Parse("https://" + entry)
		if err != nil || u.Host != entry || !isHostname(u.Hostname()) && !isAddress(u.Hostname()) {
			return nil, fmt.Errorf("push: %q is no host that could be allowed: it must be a lower-case name or an address, with or without a port", entry)
		}
		all[hostPort(u)] = true
	}
	return all, nil
}

// target is where a device's notifications go, checked.
type target struct {
	url   *url.URL
	known bool // the operator named its host
}

// origin is what a token for it is made out to.
func (t *target) origin() string { return "https://" + strings.TrimSuffix(t.url.Host, ":443") }

// hostPort is the key of allowedHosts.
func hostPort(u *url.URL) string { return u.Hostname() + ":" + port(u) }

func port(u *url.URL) string {
	if u.Port() == "" {
		return "443"
	}
	return u.Port()
}

// parseTarget takes an endpoint that a device named, and tells what is wrong with it otherwise, without repeating it.
// Addresses are the gate's to check.
func parseTarget(endpoint string, hosts hostPatterns, allowed allowedHosts) (*target, error) {
	if len(endpoint) > maxEndpointBytes {
		return nil, fmt.Errorf("%w: the URL has more than %d bytes", ErrBadDevice, maxEndpointBytes)
	}
	if strings.ContainsFunc(endpoint, func(r rune) bool { return r <= ' ' || r > '~' }) { // a byte that is no UTF-8 is above, too
		return nil, fmt.Errorf("%w: the URL must be ASCII without spaces, the rest escaped", ErrBadDevice)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL is none", ErrBadDevice) // its error repeats it
	}
	switch {
	case u.Scheme != "https":
		return nil, fmt.Errorf("%w: the URL must be https", ErrBadDevice)
	case u.User != nil:
		return nil, fmt.Errorf("%w: the URL must name no user", ErrBadDevice)
	case u.Fragment != "" || u.Opaque != "" || strings.Contains(endpoint, "#"):
		return nil, fmt.Errorf("%w: the URL must have no fragment", ErrBadDevice)
	case !isPort(u):
		return nil, fmt.Errorf("%w: the URL's port is none", ErrBadDevice)
	case allowed[hostPort(u)]:
		return &target{url: u, known: true}, nil
	case u.Port() != "" && u.Port() != "443":
		return nil, fmt.Errorf("%w: the URL's port must be 443", ErrBadDevice)
	case !isHostname(u.Hostname()) || !strings.Contains(u.Hostname(), "."):
		return nil, fmt.Errorf("%w: the URL's host must be a full name in lower case", ErrBadDevice)
	case hosts.names(u.Hostname()):
		return &target{url: u, known: true}, nil
	case !hosts.any():
		return nil, fmt.Errorf("%w: the URL's host is not one that notifications may go to", ErrBadDevice)
	}
	return &target{url: u}, nil
}

// isPort tells whether the URL has no port or a plain number; Go's url leaves "host:" and "host:0443".
func isPort(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == u.Port()
}

func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// isHostname takes a name of lower-case letters, digits and hyphens. What some resolver reads as an address (2130706433, 0x7f.1,
// 127.1) is none: no last label of a name begins with a digit. Names of other scripts come as xn--, and match as that.
func isHostname(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
		last = label
	}
	return last[0] < '0' || last[0] > '9'
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
