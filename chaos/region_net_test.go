//go:build linux

package chaos

import (
	"fmt"
	"testing"
	"time"
)

const (
	regions     = 3
	borderDelay = 40 * time.Millisecond // in one direction
)

// regionNet is the namespace of a region. All its nodes are in it.
func regionNet(r int) string { return "region-" + regionName(r) }

func regionName(r int) string { return string(rune('a' + r)) }

// regionHost is a node's place: sequencers are the first, delivery nodes come from 11 on.
func regionHost(r, i int) host { return host{regionNet(r), fmt.Sprintf("127.0.%d.%d", 11+r, i+1)} }

// regionHosts is how many addresses a region has.
const regionHosts = 20

// openRegions makes a namespace for each region and the borders between them, by the regions' numbers.
func openRegions(t *testing.T) map[[2]int]*border {
	t.Helper()
	openNetwork(t)
	for r := range regions {
		if err := makeRegion(r); err != nil {
			t.Fatalf("make a region: %v", err)
		}
		t.Cleanup(func() { _ = run("", "ip", "netns", "del", regionNet(r)) }) // for those who come after; else it ends with the tests
	}
	borders := map[[2]int]*border{}
	for a := range regions {
		for b := a + 1; b < regions; b++ {
			device := "to-" + regionName(a) + regionName(b)
			borders[[2]int{a, b}] = openBorder(t, device, borderDelay, [2]string{regionNet(a), regionNet(b)})
			for _, way := range [][2]int{{a, b}, {b, a}} {
				if err := joinRegion(way[0], way[1], device); err != nil {
					t.Fatalf("join regions: %v", err)
				}
			}
		}
	}
	return borders
}

// makeRegion makes a region's namespace, in which all its addresses are the namespace's own.
func makeRegion(r int) error {
	if err := run("", "ip", "netns", "add", regionNet(r)); err != nil {
		return err
	}
	commands := [][]string{{"ip", "link", "set", "lo", "up"}, {"ip", "addr", "del", "127.0.0.1/8", "dev", "lo"}}
	for i := range regionHosts {
		commands = append(commands, []string{"ip", "addr", "add", regionHost(r, i).ip + "/32", "dev", "lo"})
	}
	for _, argv := range commands {
		if err := run(regionNet(r), argv...); err != nil {
			return err
		}
	}
	return nil
}

// joinRegion has one region reach the other's addresses over a device.
func joinRegion(from, to int, device string) error {
	if err := routeLoopback(regionNet(from), device); err != nil {
		return err
	}
	if err := run(regionNet(from), "ip", "link", "set", device, "up"); err != nil {
		return err
	}
	return run(regionNet(from), "ip", "route", "add", fmt.Sprintf("127.0.%d.0/24", 11+to), "dev", device, "src", regionHost(from, 0).ip)
}
