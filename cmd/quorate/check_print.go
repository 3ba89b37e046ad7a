package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/quorate/quorate/sequencer/wire"
)

// write prints the report in one of checkFormats.
func (r *checkReport) write(w io.Writer, format string) error {
	var b strings.Builder
	switch format {
	case "json":
		encoder := json.NewEncoder(&b)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(r); err != nil {
			return err
		}
	case "nagios":
		r.nagios(&b)
	case "prometheus":
		r.prometheus(&b)
	default:
		if err := r.text(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// text is for people: a line that sums up, then what is wrong, and for raft each group.
func (r *checkReport) text(b *strings.Builder) error {
	fmt.Fprintf(b, "%s: %s\n", strings.ToUpper(r.Severity.String()), r.Summary)
	table := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	if r.Check == "raft" && len(r.Groups) > 0 {
		fmt.Fprintln(table, "\nGROUP\tSTATUS\tLEADER\tTERM\tVOTERS\tCOMMIT\tLAG")
		for _, g := range r.Groups {
			leader := g.Leader
			if leader == "" {
				leader = "none"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d/%d\t%d\t%d\n", g.Group, g.Severity, leader, g.Term, g.Reachable, g.Voters, g.Commit, g.MaxLag)
		}
	}
	if r.Check == "cluster" && len(r.Nodes) > 0 {
		fmt.Fprintln(table, "\nNODE\tSTATUS\tVERSION\tRESP")
		for _, n := range r.Nodes {
			status := "answers"
			if !n.Answers {
				status = "no answer"
			}
			if n.State != "" && n.State != string(wire.NodeActive) {
				status += ", " + n.State
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", dash(n.ID), status, dash(printable(n.Version)), dash(n.Addr))
		}
	}
	r.archiveTable(table)
	r.edgeTable(table)
	if len(r.Findings) > 0 {
		fmt.Fprintln(table, "\nSEVERITY\tCHECK\tGROUP\tNODE\tWHAT")
		for _, f := range r.Findings {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", f.Severity, f.Check, dash(f.Group), dash(f.Node), printable(f.Text))
		}
	}
	return table.Flush()
}

func (r *checkReport) archiveTable(table io.Writer) {
	if len(r.Archives) > 0 {
		fmt.Fprintln(table, "\nGROUP\tSTATUS\tLEADER\tBEHIND\tHOT BYTES\tLIMIT\tBROKEN")
	}
	for _, a := range r.Archives {
		behind := (time.Duration(a.LagMs) * time.Millisecond).Round(time.Second)
		limit := "-"
		if a.HotLimit > 0 {
			limit = strconv.FormatInt(a.HotLimit, 10)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%d\n", a.Group, a.Severity, a.Node, behind, a.HotBytes, limit, a.Broken)
	}
}

func (r *checkReport) edgeTable(table io.Writer) {
	if len(r.Edges) > 0 {
		fmt.Fprintln(table, "\nEDGE\tSTATUS\tREADY\tCONNECTIONS\tFEEDS LATE\tFEEDS READ\tHUB EDGES\tOUTBOX BYTES")
	}
	for _, e := range r.Edges {
		ready := map[bool]string{true: "yes", false: "no"}[e.Ready]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", e.URL, e.Severity, ready, e.Connections, e.FeedsLate, e.FeedsRead, e.HubEdges, e.OutboxBytes)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// line is a finding on one line, as Nagios shows it. A bar would begin numbers.
func (f finding) line() string {
	var where string
	if f.Group != "" {
		where += " group " + f.Group
	}
	if f.Node != "" {
		where += " node " + f.Node
	}
	return strings.ReplaceAll(fmt.Sprintf("%s%s: %s: %s", strings.ToUpper(f.Severity.String()), where, f.Check, printable(f.Text)), "|", "/")
}

// nagios is a status line with the numbers behind a bar, and a line for each finding.
func (r *checkReport) nagios(b *strings.Builder) {
	fmt.Fprintf(b, "QUORATE %s %s - %s | %s\n", strings.ToUpper(r.Check), strings.ToUpper(r.Severity.String()), r.Summary, r.perfdata())
	for _, f := range r.Findings {
		fmt.Fprintln(b, f.line())
	}
}

// perfdata is the numbers, as Nagios reads them.
func (r *checkReport) perfdata() string {
	switch r.Check {
	case "archive":
		lag, hot, broken := r.archiveNumbers()
		return fmt.Sprintf("lag=%ds;;;0; hot=%dB;;;0; broken=%d;;0;0;", int64(lag.Seconds()), hot, broken)
	case "edge":
		ready, connections, late, outbox := r.edgeNumbers()
		return fmt.Sprintf("ready=%d;%d:;1:;0;%d connections=%d;;;0; feeds_late=%d;;0;0; outbox=%dB;;;0;",
			ready, len(r.Edges), len(r.Edges), connections, late, outbox)
	}
	n := r.numbers()
	return fmt.Sprintf("nodes=%d;%d:;;0;%d groups_led=%d;;%d:;0;%d slots_led=%d;;%d:;0;%d voters_missing=%d;0;;0;%d max_lag=%d;;;0;",
		n.answering, len(r.Nodes), len(r.Nodes), n.led, len(r.Groups), len(r.Groups), r.Slots, wire.Slots, wire.Slots,
		n.voters-n.reachable, n.voters, n.maxLag)
}

// checkNumbers are a report's sums.
type checkNumbers struct {
	answering, led, voters, reachable int
	maxLag                            uint64
}

func (r *checkReport) numbers() (n checkNumbers) {
	for _, node := range r.Nodes {
		if node.Answers {
			n.answering++
		}
	}
	for _, g := range r.Groups {
		if g.Leader != "" {
			n.led++
		}
		n.voters += g.Voters
		n.reachable += g.Reachable
		n.maxLag = max(n.maxLag, g.MaxLag)
	}
	return n
}

// prometheus is for a file that the node exporter reads.
func (r *checkReport) prometheus(b *strings.Builder) {
	n := r.numbers()
	gauge := func(name, help string) {
		fmt.Fprintf(b, "# HELP quorate_check_%s %s\n# TYPE quorate_check_%s gauge\n", name, help, name)
	}
	single := func(name, help string, value any) {
		gauge(name, help)
		fmt.Fprintf(b, "quorate_check_%s{check=%q} %v\n", name, r.Check, value)
	}
	single("severity", "What the check came to: 0 ok, 1 warning, 2 critical, 3 unknown.", int(r.Severity))
	single("findings", "Things that are not as they should be.", len(r.Findings))
	switch r.Check {
	case "archive":
		lag, hot, broken := r.archiveNumbers()
		single("archive_lag_seconds", "Time that what is cold has waited for the archive, in the group where that is longest.", lag.Seconds())
		single("archive_hot_bytes", "Bytes of the stores of all groups, each on its leader.", hot)
		single("archive_broken_objects", "Objects that archivers found lost or changed.", broken)
		return
	case "edge":
		ready, connections, late, outbox := r.edgeNumbers()
		single("edges", "Delivery nodes asked.", len(r.Edges))
		single("edges_ready", "Delivery nodes that are ready.", ready)
		single("edge_connections", "Open WebSocket connections of all.", connections)
		single("edge_feeds_late", "Feeds that delivery nodes cannot read, summed.", late)
		single("edge_outbox_bytes", "Bytes queued for clients.", outbox)
		return
	}
	single("nodes", "Nodes known.", len(r.Nodes))
	single("nodes_answering", "Nodes that answer.", n.answering)
	single("slots_led", "Slots that have a leader, of 16384.", r.Slots)
	group := func(name, help string, value func(groupReport) any) {
		gauge(name, help)
		for _, g := range r.Groups {
			fmt.Fprintf(b, "quorate_check_%s{check=%q,group=%q} %v\n", name, r.Check, g.Group, value(g))
		}
	}
	group("group_severity", "What the check of a group came to, as quorate_check_severity.", func(g groupReport) any { return int(g.Severity) })
	group("group_voters", "Voters of a group.", func(g groupReport) any { return g.Voters })
	group("group_voters_answering", "Voters of a group that answer.", func(g groupReport) any { return g.Reachable })
	group("group_lag_entries", "Entries that the slowest replica of a group is behind its leader.", func(g groupReport) any { return g.MaxLag })
}
