package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// spareFiles is what a node opens beside its connections: logs, tables and its peers.
const spareFiles = 2000

// checkFiles looks at how many files, connections among them, may be open.
func checkFiles(_ context.Context, c *DoctorConfig, m machine) []*diagnosis {
	const check = "open files"
	limit, err := m.fileLimit()
	if err != nil {
		return nil
	}
	need := uint64(c.Connections) + spareFiles
	found := []string{fmt.Sprintf("ulimit -n %d", limit)}
	most := limit
	for _, name := range []string{"nr_open", "file-max"} {
		if n, ok := m.number("/proc/sys/fs/" + name); ok && n < need {
			found = append(found, fmt.Sprintf("fs.%s %d", name, n))
			most = min(most, n)
		}
	}
	text := strings.Join(found, ", ")
	switch {
	case most < spareFiles:
		return []*diagnosis{fail(check, fmt.Sprintf("ulimit -n %d, or LimitNOFILE=%d in the unit", need, need), "%s", text)}
	case most < need:
		remedy := fmt.Sprintf("raise it to %d: LimitNOFILE in the unit; sysctl fs.nr_open and fs.file-max where they are lower", need)
		return []*diagnosis{warn(check, remedy, "%s, for %d connections", text, c.Connections)}
	}
	return []*diagnosis{pass(check, "%s, enough for %d connections", text, c.Connections)}
}

// checkListen tries to take the ports that a node would listen on.
func checkListen(_ context.Context, c *DoctorConfig, m machine) (found []*diagnosis) {
	for _, addr := range c.Listen {
		check := "port " + addr
		switch err := m.listen(addr); {
		case err == nil:
			found = append(found, pass(check, "free"))
		case errors.Is(err, syscall.EADDRINUSE):
			found = append(found, warn(check, "nothing, where that is Quorate; else stop it, or use another port: ss -ltnp shows it", "in use"))
		default:
			found = append(found, fail(check, "name an address of this machine, and a port that this user may use", "%v", err))
		}
	}
	return found
}

const (
	dialTime = 2 * time.Second
	farAway  = 50 * time.Millisecond // a sixth of the time after which a silent leader is replaced
)

// checkPeers connects to the other nodes.
func checkPeers(ctx context.Context, c *DoctorConfig, m machine) []*diagnosis {
	found := make([]*diagnosis, len(c.Peers))
	var all sync.WaitGroup
	for i, addr := range c.Peers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, dialTime)
			defer cancel()
			check := "peer " + addr
			switch took, err := m.dial(ctx, addr); {
			case err != nil:
				found[i] = fail(check, "start the node there; let the firewall pass TCP to this port", "%v", err)
			case took > farAway:
				found[i] = warn(check, "keep the voters of a group within 50 ms, or raise the timeouts of the nodes", "connects in %s", took.Round(10*time.Microsecond))
			default:
				found[i] = pass(check, "connects in %s", took.Round(10*time.Microsecond))
			}
		})
	}
	all.Wait()
	return found
}

// fewPorts is when outgoing connections may run out.
const fewPorts = 10_000

// checkPortRange looks at the ports that outgoing connections take: one of ours among them may be gone after a restart.
func checkPortRange(_ context.Context, c *DoctorConfig, m machine) []*diagnosis {
	const check = "local port range"
	text, err := m.file("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil
	}
	var low, high int
	if _, err := fmt.Sscan(text, &low, &high); err != nil {
		return nil
	}
	reserved, _ := m.file("/proc/sys/net/ipv4/ip_local_reserved_ports") // none where it cannot be read
	var inside []string
	for _, addr := range c.Listen {
		if _, port, err := splitAddr(addr); err == nil && port >= low && port <= high && !inRanges(port, reserved) {
			inside = append(inside, fmt.Sprint(port))
		}
	}
	switch {
	case len(inside) > 0:
		remedy := "sysctl net.ipv4.ip_local_reserved_ports=" + strings.Join(inside, ",") + ": else an outgoing connection may hold the port at a restart"
		return []*diagnosis{warn(check, remedy, "%d to %d, with port %s in it", low, high, strings.Join(inside, ", "))}
	case high-low < fewPorts:
		return []*diagnosis{warn(check, "sysctl net.ipv4.ip_local_port_range='32768 60999'", "%d to %d, %d ports", low, high, high-low+1)}
	}
	return []*diagnosis{pass(check, "%d to %d", low, high)}
}

// inRanges tells whether a list such as "8080,9000-9010" holds port.
func inRanges(port int, list string) bool {
	for item := range strings.SplitSeq(list, ",") {
		var low, high int
		n, _ := fmt.Sscanf(strings.TrimSpace(item), "%d-%d", &low, &high) // one number, or two
		if n == 1 {
			high = low
		}
		if n > 0 && port >= low && port <= high {
			return true
		}
	}
	return false
}

// fewWaiting is a queue of new connections that a storm of reconnects overruns.
const fewWaiting = 1024

// checkKernel looks at what bounds a storm of new connections.
func checkKernel(_ context.Context, c *DoctorConfig, m machine) (found []*diagnosis) {
	for name, file := range map[string]string{
		"net.core.somaxconn":           "/proc/sys/net/core/somaxconn",
		"net.ipv4.tcp_max_syn_backlog": "/proc/sys/net/ipv4/tcp_max_syn_backlog",
	} {
		n, ok := m.number(file)
		switch {
		case !ok:
		case n < fewWaiting:
			found = append(found, warn(name, "sysctl "+name+"=4096: more clients that come at once are turned away", "%d", n))
		default:
			found = append(found, pass(name, "%d", n))
		}
	}
	if d := connTracking(c, m); d != nil {
		found = append(found, d)
	}
	if d := socketMemory(c, m); d != nil {
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b *diagnosis) int { return strings.Compare(a.Check, b.Check) })
	return found
}

// connTracking looks at the firewall's table of connections, where it keeps one: over its bound, packets of new ones are dropped.
func connTracking(c *DoctorConfig, m machine) *diagnosis {
	const check = "net.netfilter.nf_conntrack_max"
	most, ok := m.number("/proc/sys/net/netfilter/nf_conntrack_max")
	count, counts := m.number("/proc/sys/net/netfilter/nf_conntrack_count")
	switch need := uint64(c.Connections) * 5 / 4; {
	case !ok || !counts || count == 0: // no rule asks for it
		return nil
	case most < need:
		return warn(check, fmt.Sprintf("sysctl %s=%d, or let the firewall not track the clients' port", check, need), "%d, for %d connections", most, c.Connections)
	}
	return pass(check, "%d", most)
}

// socketMemory looks at how much data all sockets together may hold before the kernel makes each do with less: a page for a quarter of
// the connections at a time.
func socketMemory(c *DoctorConfig, m machine) *diagnosis {
	const check = "net.ipv4.tcp_mem"
	text, err := m.file("/proc/sys/net/ipv4/tcp_mem")
	if err != nil {
		return nil
	}
	var low, pressure, high int
	if _, err := fmt.Sscan(text, &low, &pressure, &high); err != nil {
		return nil
	}
	if need := c.Connections / 4; pressure < need {
		return warn(check, fmt.Sprintf("sysctl %s='%d %d %d'", check, need/2, need, 2*need), "%d pages before pressure, for %d connections", pressure, c.Connections)
	}
	return pass(check, "%d pages before pressure", pressure)
}
