package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/archive"
	"github.com/quorate/quorate/sequencer/wire"
)

// archiveReport is how archiving goes in one group, as its leader says.
type archiveReport struct {
	Group    string   `json:"group"`
	Severity severity `json:"severity"`
	Node     string   `json:"nodeId"`
	Archive  bool     `json:"archive"` // the node has one
	LagMs    int64    `json:"lagMs"`
	HotBytes int64    `json:"hotBytes"`
	HotLimit int64    `json:"hotLimit"` // 0: none
	HotAlarm bool     `json:"hotAlarm"`
	Broken   int      `json:"brokenObjects"`
	Trouble  string   `json:"trouble,omitempty"` // why the last round failed
}

// archiveLimits are how long what is cold may wait for the archive.
type archiveLimits struct{ warning, critical time.Duration }

// askArchives asks all nodes that answer how archiving goes in the groups that they lead.
func askArchives(ctx context.Context, client *wire.Client, v *clusterLook) (all []archiveReport) {
	for _, n := range v.Nodes {
		if n.Err != nil {
			continue
		}
		reply, err := client.DoNode(ctx, n.Addr, "ARCHIVE", "STATUS")
		if err != nil {
			continue // the groups that it leads are missed
		}
		for _, r := range reply.Elems() {
			all = append(all, archiveReport{
				Group: strconv.FormatUint(r.Field("group").Num(), 10), Node: n.ID, Archive: r.Field("archive").Num() == 1,
				LagMs: int64(r.Field("lagMs").Num()), HotBytes: int64(r.Field("hotBytes").Num()), HotLimit: int64(r.Field("hotLimit").Num()),
				HotAlarm: r.Field("hotAlarm").Num() == 1, Broken: int(r.Field("broken").Num()), Trouble: r.Field("trouble").Str(),
			})
		}
	}
	slices.SortFunc(all, func(a, b archiveReport) int { return compareGroups(a.Group, b.Group) })
	return all
}

// compareGroups orders groups by number.
func compareGroups(a, b string) int {
	x, _ := strconv.Atoi(a) // they were numbers
	y, _ := strconv.Atoi(b)
	return x - y
}

// judgeArchive says what is wrong with the archive of a cluster.
func judgeArchive(v *clusterLook, all []archiveReport, limits archiveLimits) *checkReport {
	r := newReport("archive", v)
	if r.answering() == 0 {
		r.nobody(v)
		return r.close()
	}
	some := slices.ContainsFunc(all, func(a archiveReport) bool { return a.Archive })
	if len(all) > 0 && !some {
		r.add(severityUnknown, "archive", nil, "", "the sequencers have no archive (--archive)")
	}
	for _, g := range v.Groups {
		if name := groupName(g.Group); g.Group != int(wire.MetaGroup) && !slices.ContainsFunc(all, func(a archiveReport) bool { return a.Group == name }) {
			r.add(severityWarning, "leader", &groupReport{Group: name}, "", "no leader says how archiving goes")
		}
	}
	for i := range all {
		if some {
			r.archive(&all[i], limits)
		}
	}
	r.Archives = all
	return r.close()
}

// archive judges one group.
func (r *checkReport) archive(a *archiveReport, limits archiveLimits) {
	group := groupReport{Group: a.Group}
	lag := time.Duration(a.LagMs) * time.Millisecond
	switch {
	case !a.Archive:
		r.add(severityWarning, "archive", &group, a.Node, "its leader has no archive, others have (--archive)")
	case limits.critical > 0 && lag >= limits.critical:
		r.add(severityCritical, "lag", &group, a.Node, "what is cold has waited for the archive for %s", lag.Round(time.Second))
	case limits.warning > 0 && lag >= limits.warning:
		r.add(severityWarning, "lag", &group, a.Node, "what is cold has waited for the archive for %s", lag.Round(time.Second))
	}
	if a.HotAlarm {
		r.add(severityCritical, "hot", &group, a.Node, "the hot store takes %d bytes, more than it should", a.HotBytes)
	}
	if a.Broken > 0 {
		r.add(severityCritical, "objects", &group, a.Node, "%d objects are lost, or other than they were written: quorate archive verify %s", a.Broken, a.Group)
	}
	if a.Trouble != "" {
		r.add(severityWarning, "store", &group, a.Node, "the last round failed: %s", a.Trouble)
	}
	a.Severity = group.Severity
}

// probesPerGroup is how many objects of a group are looked at.
const probesPerGroup = 4

// probeStore reads the ends of some objects of each group, the oldest, the newest and any others, as a delivery node would.
func (r *checkReport) probeStore(ctx context.Context, client *wire.Client, store archive.Store, v *clusterLook) {
	for i := range r.Archives {
		a := &r.Archives[i]
		n := slices.IndexFunc(v.Nodes, func(n nodeView) bool { return n.ID == a.Node })
		if n < 0 || !a.Archive {
			continue
		}
		group := groupReport{Group: a.Group, Severity: a.Severity}
		reply, err := client.DoNode(ctx, v.Nodes[n].Addr, "ARCHIVE", "SEGMENTS", a.Group)
		if err != nil {
			r.add(severityWarning, "objects", &group, a.Node, "its index cannot be read: %v", err)
			continue
		}
		for _, o := range someOf(reply.Elems()) {
			line, err := segmentOf(0, o)
			if err == nil {
				err = archive.Probe(ctx, store, line.segment)
			}
			switch {
			case err == nil:
			case errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrNotFound):
				r.add(severityCritical, "objects", &group, "", "%s: %v", line.Object, err)
			default:
				r.add(severityCritical, "store", &group, "", "the object store cannot be read from here: %v", err)
				return // it would be so for all
			}
		}
		a.Severity = group.Severity
	}
}

// someOf picks the first, the last, and others by chance.
func someOf(all []wire.Reply) []wire.Reply {
	if len(all) <= probesPerGroup {
		return all
	}
	some := []wire.Reply{all[0], all[len(all)-1]}
	for len(some) < probesPerGroup {
		some = append(some, all[rand.IntN(len(all))])
	}
	return some
}

// archiveNumbers sums up.
func (r *checkReport) archiveNumbers() (lag time.Duration, hot int64, broken int) {
	for _, a := range r.Archives {
		lag = max(lag, time.Duration(a.LagMs)*time.Millisecond)
		hot += a.HotBytes
		broken += a.Broken
	}
	return lag, hot, broken
}

func (r *checkReport) archiveSummary() string {
	lag, hot, broken := r.archiveNumbers()
	return fmt.Sprintf("%d groups, behind by %s at most, %d bytes hot, %d objects broken", len(r.Archives), lag.Round(time.Second), hot, broken)
}
