package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/quorate/quorate/sequencer/wire"
)

// severity is how bad something is, in the order and with the numbers that Nagios gives them.
type severity int

const (
	severityOK severity = iota
	severityWarning
	severityCritical
	severityUnknown
)

// String gives the word.
func (s severity) String() string { return [...]string{"ok", "warning", "critical", "unknown"}[s] }

// MarshalText gives the word.
func (s severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// finding is one thing that is not as it should be.
type finding struct {
	Severity severity `json:"severity"`
	Check    string   `json:"check"`           // nodes, leader, voters, lag, still, terms, slots, version; of an archive or an edge its own
	Group    string   `json:"group,omitempty"` // that it is about
	Node     string   `json:"nodeId,omitempty"`
	Text     string   `json:"text"`
}

// groupReport is one group in numbers.
type groupReport struct {
	Group     string   `json:"group"`
	Severity  severity `json:"severity"`
	Leader    string   `json:"leader"` // "" without one
	Term      uint64   `json:"term"`
	Voters    int      `json:"voters"`
	Reachable int      `json:"votersReachable"`
	Commit    uint64   `json:"commit"`
	MaxLag    uint64   `json:"maxLag"` // entries that the slowest replica that answers is behind the leader
}

// checkReport is what a check found.
type checkReport struct {
	Check    string        `json:"check"` // cluster, raft, edge or archive
	Severity severity      `json:"severity"`
	Summary  string        `json:"summary"`
	Nodes    []nodeReport  `json:"nodes"`
	Groups   []groupReport `json:"groups"`
	Slots    int           `json:"slotsLed"`
	Findings []finding     `json:"findings"`

	Archives []archiveReport `json:"archive,omitempty"` // of check archive
	Edges    []edgeReport    `json:"edges,omitempty"`   // of check edge
}

// nodeReport is one node.
type nodeReport struct {
	nodeView
	Answers bool   `json:"answers"`
	Error   string `json:"error,omitempty"`
}

// lagLimits are how many entries a replica may be behind its leader.
type lagLimits struct{ warning, critical uint64 }

func (r *checkReport) add(s severity, check string, group *groupReport, node, format string, args ...any) {
	f := finding{Severity: s, Check: check, Node: node, Text: fmt.Sprintf(format, args...)}
	if group != nil {
		f.Group = group.Group
		group.Severity = max(group.Severity, s)
	}
	r.Findings = append(r.Findings, f)
}

// judge says what is wrong in a cluster; check is cluster or raft, and raft looks at the groups alone.
func judge(check string, v *clusterLook, limits lagLimits) *checkReport {
	r := newReport(check, v)
	answering := r.answering()
	if answering == 0 {
		r.nobody(v)
		return r.close()
	}
	for _, g := range v.Groups {
		r.group(g, limits, answering)
	}
	if check == "cluster" {
		r.nodes()
		r.versions()
		if v.Slots < wire.Slots {
			r.add(severityCritical, "slots", nil, "", "%d of %d slots have no leader", wire.Slots-v.Slots, wire.Slots)
		}
	}
	return r.close()
}

// newReport begins a report with the nodes.
func newReport(check string, v *clusterLook) *checkReport {
	r := &checkReport{Check: check, Nodes: []nodeReport{}, Groups: []groupReport{}, Slots: v.Slots, Findings: []finding{}}
	for _, n := range v.Nodes {
		report := nodeReport{nodeView: n, Answers: n.Err == nil}
		if n.Err != nil {
			report.Error = reason(n.Err)
		}
		r.Nodes = append(r.Nodes, report)
	}
	return r
}

// answering is how many nodes answer.
func (r *checkReport) answering() (n int) {
	for i := range r.Nodes {
		if r.Nodes[i].Answers {
			n++
		}
	}
	return n
}

// nobody judges a cluster of which no node answers. One that refuses the question is there, but says nothing of itself.
func (r *checkReport) nobody(v *clusterLook) {
	for _, n := range v.Nodes {
		s := severityCritical
		if errors.Is(n.Err, wire.ErrNoAuth) || errors.Is(n.Err, wire.ErrNoPerm) || strings.Contains(n.Err.Error(), "WRONGPASS") {
			s = severityUnknown
		}
		r.add(s, "nodes", nil, n.ID, "%s does not answer: %s", orNone(n.Addr), reason(n.Err))
	}
}

func (r *checkReport) nodes() {
	for _, n := range r.Nodes {
		if !n.Answers && n.State != string(wire.NodeLost) { // the cluster has given that one up already
			r.add(severityWarning, "nodes", nil, n.ID, "the node at %s does not answer: %s", orNone(n.Addr), n.Error)
		}
	}
}

// reason is why a node could not be asked, without the address, which stands beside it.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

func orNone(s string) string {
	if s == "" {
		return "an unknown address"
	}
	return s
}

func (r *checkReport) versions() {
	var versions []string
	for _, n := range r.Nodes {
		if n.Answers && !slices.Contains(versions, n.Version) {
			versions = append(versions, n.Version)
		}
	}
	if len(versions) > 1 {
		slices.Sort(versions)
		r.add(severityWarning, "version", nil, "", "nodes run different versions: %s", strings.Join(versions, ", "))
	}
}

// group judges one group.
func (r *checkReport) group(g groupView, limits lagLimits, answering int) {
	report := groupReport{Group: groupName(g.Group)}
	leader := r.leader(g, &report)
	for _, replica := range g.Replicas {
		if replica.Voter {
			report.Voters++
			if replica.Answers {
				report.Reachable++
			} else {
				r.add(severityWarning, "voters", &report, replica.Node, "a voter does not answer")
			}
		}
	}
	switch {
	case report.Reachable <= report.Voters/2:
		r.add(severityCritical, "voters", &report, "", "%d of %d voters answer: there is no majority", report.Reachable, report.Voters)
	case report.Voters < 3 && answering >= 3:
		r.add(severityWarning, "voters", &report, "", "%d voters on a cluster of %d nodes: the loss of one stops the group",
			report.Voters, answering)
	}
	if leader != nil {
		for i := range g.Replicas {
			r.behind(&g.Replicas[i], leader, &report, limits)
		}
	}
	r.Groups = append(r.Groups, report)
}

// leader finds the leader of a group: the one of the highest term, where two say so.
func (r *checkReport) leader(g groupView, report *groupReport) (leader *replicaView) {
	for i := range g.Replicas {
		replica := &g.Replicas[i]
		report.Term = max(report.Term, replica.Term)
		if replica.State != "Leader" || !replica.Answers {
			continue
		}
		if leader != nil {
			r.add(severityWarning, "leader", report, "", "%s leads in term %d and %s in term %d; one of them is out of date",
				leader.Node, leader.Term, replica.Node, replica.Term)
		}
		if leader == nil || replica.Term > leader.Term {
			leader = replica
		}
	}
	if leader == nil {
		r.add(severityCritical, "leader", report, "", "no node that answers leads the group")
		return nil
	}
	report.Leader, report.Commit = leader.Node, leader.Commit
	return leader
}

// stillEntries is more than Raft writes for itself between two looks.
const stillEntries = 16

// behind judges how far one replica is behind its leader, and whether it moves at all.
func (r *checkReport) behind(replica, leader *replicaView, report *groupReport, limits lagLimits) {
	if !replica.Answers {
		return
	}
	// The state's own index is compared: what Raft writes for itself, after an election, is committed and never applied.
	var lag uint64
	if leader.Applied > replica.Applied {
		lag = leader.Applied - replica.Applied
	}
	report.MaxLag = max(report.MaxLag, lag)
	switch {
	case limits.critical > 0 && lag >= limits.critical:
		r.add(severityCritical, "lag", report, replica.Node, "%d entries behind the leader", lag)
	case limits.warning > 0 && lag >= limits.warning:
		r.add(severityWarning, "lag", report, replica.Node, "%d entries behind the leader", lag)
	}
	switch stands := replica.Later == replica.Applied; {
	case stands && replica.Later < leader.Applied: // it had the time between the two looks to catch up
		r.add(severityWarning, "still", report, replica.Node, "stands still at entry %d, the leader is at %d", replica.Later, leader.Later)
	case stands && replica == leader && leader.LaterEnd > leader.Commit+stillEntries:
		r.add(severityWarning, "still", report, replica.Node, "commits and does not apply: the state stands still at entry %d, %d are committed",
			replica.Later, leader.LaterEnd)
	}
	if replica.Voter && replica.Term < leader.Term && replica.State != "Shutdown" {
		r.add(severityWarning, "terms", report, replica.Node, "is in term %d, the leader in %d: it does not hear the leader",
			replica.Term, leader.Term)
	}
}

// close orders the findings and sums them up.
func (r *checkReport) close() *checkReport {
	slices.SortStableFunc(r.Findings, func(a, b finding) int { return int(b.Severity) - int(a.Severity) })
	counts := map[severity]int{}
	for _, f := range r.Findings {
		counts[f.Severity]++
		r.Severity = max(r.Severity, f.Severity)
	}
	if counts[severityCritical] > 0 {
		r.Severity = severityCritical // what is known to be broken matters more than what is not known
	}
	r.Summary = r.summary()
	for _, s := range []severity{severityCritical, severityWarning, severityUnknown} {
		if counts[s] > 0 {
			r.Summary += fmt.Sprintf(", %d %s", counts[s], s)
		}
	}
	return r
}

// summary is what the check is about in a few numbers.
func (r *checkReport) summary() string {
	switch {
	case r.Check == "edge":
		return r.edgeSummary()
	case r.Check == "archive" && r.answering() > 0:
		return r.archiveSummary()
	}
	led := 0
	for _, g := range r.Groups {
		if g.Leader != "" {
			led++
		}
	}
	return fmt.Sprintf("%d of %d nodes answer, %d of %d groups have a leader", r.answering(), len(r.Nodes), led, len(r.Groups))
}
