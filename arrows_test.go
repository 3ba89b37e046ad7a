// Package quorate_test holds what is true of the whole module.
package quorate_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/quorate/quorate"

// arrow says which of our packages pkg may import, what its tests may import beside that, and why no other.
type arrow struct {
	pkg   string
	may   []string
	tests []string
	why   string
}

// arrows has a line for every package; one that is missing fails the test.
var arrows = []arrow{
	{
		"cmd/quorate",
		[]string{
			"sequencer", "delivery", "delivery/notify", "delivery/push", "archive", "backup", "sequencer/wire", "trust", "meter", "bench",
			"bench/scenario", "bench/measure", "bench/report", "bench/fleet", "bench/plan", "sysmon",
		},
		[]string{"sequencer/sequencertest", "delivery/deliverytest", "delivery/push/pushtest"},
		"the command wires the parts together; the state machine is the sequencer's own affair",
	},
	{
		"sequencer",
		[]string{"raftfsm", "raftfsm/wal", "archive", "backup", "sequencer/wire", "trust", "meter", "raftfsm/failpoint"},
		[]string{"sequencer/sequencertest", "archive/archivetest", "bubble"},
		"a sequencer is groups behind RESP; whoever delivers reads its feed, it knows none of them",
	},
	{
		"sequencer/wire", nil, nil,
		"both tiers share it, so it is a leaf and pulls in neither",
	},
	{
		"trust",
		[]string{"sequencer/wire"},
		nil,
		"who is at the other end is asked the same way everywhere, so it is a leaf beside wire",
	},
	{
		"sequencer/sequencertest",
		[]string{"sequencer", "raftfsm", "sequencer/wire", "sequencer/sequencertest/history", "bench/check"},
		nil,
		"it makes clusters for tests; no product code imports it",
	},
	{
		"sequencer/sequencertest/history",
		[]string{"sequencer/wire"},
		nil,
		"a judge of what clients saw; the tests of every package use it, so it knows none of them",
	},
	{
		"chaos", nil,
		[]string{"sequencer/wire", "sequencer/sequencertest", "sequencer/sequencertest/history", "delivery/deliverytest", "archive"},
		"it breaks real processes from outside, and knows no more of them than a client does",
	},
	{
		"raftfsm",
		[]string{"sequencer/wire", "raftfsm/wal", "raftfsm/failpoint", "trust", "meter"},
		[]string{"sequencer/sequencertest/history", "bubble"},
		"one group knows the words and the limits, and not who asks",
	},
	{
		"raftfsm/wal",
		[]string{"meter"},
		nil,
		"a log of bytes for many groups; it knows raft's entries and nothing of ours",
	},
	{
		"raftfsm/failpoint", nil, nil,
		"steps that tests stop a process at; it knows their names and nothing of what is done there",
	},
	{
		"archive",
		[]string{"sequencer/wire"},
		[]string{"archive/archivetest"},
		"objects and what is in them; who writes them and who reads them are above it",
	},
	{
		"backup",
		[]string{"archive", "sequencer/wire"},
		[]string{"archive/archivetest"},
		"files with sums in an object store; what is in them is the sequencer's affair",
	},
	{
		"archive/archivetest",
		[]string{"archive"},
		nil,
		"it makes object stores for tests, whole and broken ones; no product code imports it",
	},
	{
		"delivery",
		[]string{"sequencer/wire", "archive", "delivery/frame", "delivery/relay", "delivery/follow", "meter", "uring"},
		[]string{"sequencer", "sequencer/sequencertest", "trust", "delivery/frame/frametest", "archive/archivetest"},
		"an edge reaches a sequencer over the network alone, so that the tiers deploy and fail apart",
	},
	{
		"delivery/push", nil,
		[]string{"delivery/push/pushtest", "bubble"},
		"it speaks to push services and knows no more of a message than what a user is shown",
	},
	{
		"delivery/push/pushtest", nil, nil,
		"it stands for the services of others, and judges without the code that it tests",
	},
	{
		"delivery/follow",
		[]string{"sequencer/wire"},
		nil,
		"how feeds are read and shared out, the same for hubs and notifiers; what is done with the events is theirs",
	},
	{
		"delivery/notify",
		[]string{"sequencer/wire", "delivery/follow", "delivery/push", "meter"},
		[]string{"sequencer/sequencertest", "delivery", "bubble"},
		"it looks after messages by what sequencers tell; edges and hubs go on without it",
	},
	{
		"delivery/deliverytest",
		[]string{"sequencer/wire", "sequencer/sequencertest"},
		nil,
		"clients for tests, which know an edge by its public protocol alone; no product code imports it",
	},
	{
		"delivery/frame", nil,
		[]string{"delivery/frame/frametest"},
		"a codec: bytes in, frames out; it knows no connection and no product",
	},
	{
		"delivery/relay",
		[]string{"sequencer/wire"},
		nil,
		"a codec for what hubs and edges say to each other; it knows the product's words and no connection",
	},
	{
		"delivery/frame/frametest", nil, nil,
		"the list of cases that parser and engine are tested with; it makes its bytes without the code that it tests",
	},
	{
		"bench", nil,
		[]string{"bench/benchtest", "bench/scenario"},
		"what a cluster is compared with; the bench itself is below it",
	},
	{
		"bench/benchtest",
		[]string{"delivery", "sequencer/sequencertest"},
		nil,
		"it starts what tests of the bench load; no product code imports it",
	},
	{
		"bench/measure", nil, nil,
		"what was measured, and the form it is written in; whoever measures and whoever shows it are above it",
	},
	{
		"bench/check",
		[]string{"bench/measure", "sequencer/wire"},
		nil,
		"a judge of what clients sent and were told; the bench and the tests of faults use it, so it knows neither",
	},
	{
		"bench/load", nil, nil,
		"planned times, texts and skews are arithmetic; what is done with them is above it",
	},
	{
		"bench/socket",
		[]string{"uring"},
		nil,
		"it is clients of the public protocol, and knows its frames alone",
	},
	{
		"bench/fleet",
		[]string{"bench/measure", "bench/scenario"},
		[]string{"bench/benchtest"},
		"it shares a run out to workers, and leaves the run to them",
	},
	{
		"bubble", nil, nil,
		"virtual time for the tests of every package; no product code imports it",
	},
	{
		"bench/plan",
		[]string{"bench/measure"},
		nil,
		"arithmetic with what was measured",
	},
	{
		"bench/report",
		[]string{"bench/measure"},
		nil,
		"it shows results, and does not care how they came to be",
	},
	{
		"bench/scenario",
		[]string{"bench/check", "bench/load", "bench/measure", "bench/socket", "sequencer/wire"},
		[]string{"bench/benchtest", "sequencer/sequencertest"},
		"it loads a cluster from outside, as clients do, and knows nothing of its inside",
	},
	{
		"uring", nil, nil,
		"a way to the kernel, for whoever has many sockets; it knows no product",
	},
	{
		"sysmon", nil, nil,
		"a way to the runtime, for every process of ours; it knows no product",
	},
	{
		"meter", nil, nil,
		"it counts for all parts, so it is a leaf and knows none of them",
	},
}

// fence says which of our packages alone may import a module of others in product code, and why.
type fence struct {
	prefix string
	only   []string
	why    string
}

var fences = []fence{
	{"github.com/hashicorp/raft", []string{"raftfsm", "raftfsm/wal"}, "all of consensus is behind one package's contract"},
	{"github.com/hashicorp/raft-boltdb", []string{"raftfsm"}, "the Raft log is the group's own"},
	{"go.etcd.io/bbolt", []string{"raftfsm"}, "the Raft log is the group's own"},
	{"github.com/cockroachdb/pebble", []string{"raftfsm"}, "the state store is the group's own"},
	{"github.com/tidwall/redcon", []string{"sequencer"}, "RESP is served in one place, behind one guard"},
	{
		"github.com/prometheus",
		[]string{"meter", "sequencer", "delivery", "delivery/notify", "cmd/quorate"},
		"a group counts; what a scrape looks like is for those who have a port to show it on",
	},
	{"github.com/lesismal/nbio", []string{"delivery"}, "the event loop is behind the edge's connection"},
	{"github.com/spf13", []string{"cmd/quorate"}, "only the command knows flags"},
	{"github.com/knadh/koanf", []string{"cmd/quorate"}, "only the command knows configuration files and the environment"},
}

// violation tells why from may not import what it imports, or "".
func violation(from arrow, imported string, inTest bool) string {
	if name, isOurs := strings.CutPrefix(imported, module+"/"); isOurs {
		allowed := slices.Contains(from.may, name) ||
			(inTest && (name == from.pkg || slices.Contains(from.tests, name)))
		if !allowed {
			return from.why
		}
		return ""
	}
	for _, f := range fences {
		inside := imported == f.prefix || strings.HasPrefix(imported, f.prefix+"/")
		if inside && !inTest && !slices.Contains(f.only, from.pkg) {
			return f.why
		}
	}
	return ""
}

// listed is what the go command tells of a package. Imports is the product's; the other two are its tests'.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestArrows_EveryImportIsAllowed(t *testing.T) {
	for _, pkg := range packages(t) {
		if pkg.ImportPath == module {
			continue // nothing but tests of the whole
		}
		name := strings.TrimPrefix(pkg.ImportPath, module+"/")
		i := slices.IndexFunc(arrows, func(a arrow) bool { return a.pkg == name })
		if i < 0 {
			t.Errorf("%s is not in the table of arrows: say there what it may import, and why", name)
			continue
		}
		for _, imported := range pkg.Imports {
			if why := violation(arrows[i], imported, false); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
		for _, imported := range slices.Concat(pkg.TestImports, pkg.XTestImports) {
			if why := violation(arrows[i], imported, true); why != "" {
				t.Errorf("the tests of %s import %s: %s", name, imported, why)
			}
		}
	}
}

// packages lists all packages of the module, as the go command sees them.
func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg listed
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pkg)
	}
}

// TestArrows_CatchesAWrongOne checks the check: a mistake in the rule would pass for order.
func TestArrows_CatchesAWrongOne(t *testing.T) {
	for _, c := range []struct {
		from, imported string
		inTest, caught bool
	}{
		{"delivery", module + "/raftfsm", false, true},
		{"delivery", module + "/sequencer", false, true},
		{"delivery", module + "/sequencer", true, false},
		{"delivery", module + "/raftfsm", true, true},
		{"delivery", module + "/sequencer/wire", false, false},
		{"delivery", "github.com/hashicorp/raft", false, true},
		{"sequencer", "github.com/hashicorp/raft-boltdb/v2", false, true},
		{"sequencer", "github.com/hashicorp/go-hclog", false, false},
		{"raftfsm", "github.com/hashicorp/raft", false, false},
		{"raftfsm", module + "/sequencer/wire", true, false},
	} {
		i := slices.IndexFunc(arrows, func(a arrow) bool { return a.pkg == c.from })
		if why := violation(arrows[i], c.imported, c.inTest); (why != "") != c.caught {
			t.Errorf("%s -> %s (test %v): caught %v, want %v", c.from, c.imported, c.inTest, !c.caught, c.caught)
		}
	}
}
