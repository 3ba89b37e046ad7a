//go:build linux

package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The nodes' network: a bridge in the tests' namespace and one namespace a node behind it. A node without TLS serves
// loopback addresses alone, so the nodes have 127.0.1.N, which the kernel routes over links where it is told to.
const (
	bridge   = "chaos0"
	clientIP = "127.0.1.254"
	maxNodes = 5 // sequencers
	maxEdges = 3 // delivery nodes
)

// host is where a node runs: a namespace and the address in it. Names are of the tests' mount namespace: two runs never meet.
type host struct{ net, ip string }

// nodeHost is the place of a sequencer.
func nodeHost(i int) host { return host{fmt.Sprintf("n%d", i+1), fmt.Sprintf("127.0.1.%d", i+1)} }

// edgeHost is the place of a delivery node.
func edgeHost(i int) host { return host{fmt.Sprintf("e%d", i+1), fmt.Sprintf("127.0.1.%d", i+101)} }

var network struct {
	once sync.Once
	err  error
}

// openNetwork makes the network, once for all tests of the process.
func openNetwork(t *testing.T) {
	t.Helper()
	network.once.Do(func() { network.err = makeNetwork() })
	if network.err != nil {
		t.Fatalf("make the network: %v", network.err)
	}
}

func makeNetwork() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("hide the names of others' namespaces: %w", err)
	}
	if err := run("", "ip", "link", "add", bridge, "type", "bridge"); err != nil {
		return err
	}
	if err := address("", bridge, clientIP); err != nil {
		return err
	}
	for i := range maxNodes {
		if err := makeHost(nodeHost(i)); err != nil {
			return err
		}
	}
	for i := range maxEdges {
		if err := makeHost(edgeHost(i)); err != nil {
			return err
		}
	}
	return nil
}

// makeHost makes a namespace with a link to the bridge.
func makeHost(h host) error {
	link := "to-" + h.net
	for _, argv := range [][]string{
		{"ip", "netns", "add", h.net},
		{"ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", h.net},
		{"ip", "link", "set", link, "master", bridge, "up"},
	} {
		if err := run("", argv...); err != nil {
			return err
		}
	}
	return address(h.net, "eth0", h.ip)
}

// address gives a link in a namespace a loopback address that leaves the machine, as far as the namespace knows.
func address(ns, link, ip string) error {
	if err := routeLoopback(ns, link); err != nil {
		return err
	}
	for _, argv := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "addr", "del", "127.0.0.1/8", "dev", "lo"},
		{"ip", "addr", "add", "127.0.0.1/32", "dev", "lo"},
		{"ip", "link", "set", link, "up"},
		{"ip", "addr", "add", ip + "/24", "dev", link},
	} {
		if err := run(ns, argv...); err != nil {
			return err
		}
	}
	return nil
}

// routeLoopback has a namespace send to loopback addresses over a link, and hear from them.
func routeLoopback(ns, link string) error {
	return within(ns, func() error {
		for _, name := range []string{"all", link} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/route_localnet", []byte("1"), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// within runs do on a thread that is in a network namespace; "" is the tests' own. What do starts stays there.
func within(ns string, do func() error) error {
	if ns == "" {
		return do()
	}
	runtime.LockOSThread()
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", syscall.Gettid()))
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := setns(there); err != nil {
		return fmt.Errorf("enter namespace %s: %w", ns, err)
	}
	err = do()
	if back := setns(home); back != nil {
		return fmt.Errorf("leave namespace %s: %w", ns, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// dialer connects to an address, which is a number: no name is looked up.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// dialFrom connects from inside a network namespace.
func dialFrom(ns string) dialer {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = within(ns, func() error {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
}

func setns(f *os.File) error { return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET) }

// run runs a command in a network namespace.
func run(ns string, argv ...string) error {
	_, err := output(ns, "", argv...)
	return err
}

// output runs a command in a network namespace, with an input, and gives what it said.
func output(ns, input string, argv ...string) (string, error) {
	var out []byte
	err := within(ns, func() error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(input)
		var err error
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}

// direction is what a node that is cut off can no longer do.
type direction int

const (
	deaf     direction = 1 << iota // it receives nothing
	mute                           // nothing it sends arrives
	isolated = deaf | mute
)

// cut keeps a node and the hosts with the given addresses apart, connections that exist included.
func cut(t *testing.T, n *node, d direction, peers ...string) {
	t.Helper()
	var rules strings.Builder
	rules.WriteString("table inet chaos {\n")
	for _, chain := range []struct {
		name, hook, match string
		on                bool
	}{{"in", "input", "saddr", d&deaf != 0}, {"out", "output", "daddr", d&mute != 0}} {
		fmt.Fprintf(&rules, " chain %s {\n  type filter hook %s priority 0; policy accept;\n", chain.name, chain.hook)
		if chain.on {
			fmt.Fprintf(&rules, "  ip %s { %s } counter drop\n", chain.match, strings.Join(peers, ", "))
		}
		rules.WriteString(" }\n")
	}
	rules.WriteString("}\n")
	if _, err := output(n.net, rules.String(), "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

var packets = regexp.MustCompile(`counter packets (\d+)`)

// heal ends what cut did to a node, if anything, and gives the number of packets that were dropped.
func heal(t *testing.T, n *node) (dropped int) {
	t.Helper()
	rules, err := output(n.net, "", "nft", "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range packets.FindAllStringSubmatch(rules, -1) {
		count, _ := strconv.Atoi(found[1]) // digits, says the pattern
		dropped += count
	}
	if err := run(n.net, "nft", "flush", "ruleset"); err != nil {
		t.Fatal(err)
	}
	return dropped
}
