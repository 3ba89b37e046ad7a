package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/quorate/quorate/sequencer/wire"
)

// healthyView is a cluster of three nodes and two groups that lacks nothing.
func healthyView() *clusterLook {
	v := &clusterLook{Slots: wire.Slots}
	for _, id := range []string{"n1", "n2", "n3"} {
		v.Nodes = append(v.Nodes, nodeView{ID: id, Addr: id + ":7379", Version: "v1"})
	}
	for g := range 2 {
		group := groupView{Group: g}
		for _, id := range []string{"n1", "n2", "n3"} {
			state := "Follower"
			if id == "n1" {
				state = "Leader"
			}
			group.Replicas = append(group.Replicas, replicaView{
				Node: id, Voter: true, Answers: true, State: state, Term: 4, Commit: 1003, Applied: 1000, Later: 1000, LaterEnd: 1003,
			})
		}
		v.Groups = append(v.Groups, group)
	}
	return v
}

// lose makes a node of a view stop answering.
func lose(v *clusterLook, ids ...string) {
	for i := range v.Nodes {
		if slices.Contains(ids, v.Nodes[i].ID) {
			v.Nodes[i].Err = errors.New("connection refused")
		}
	}
	for _, g := range v.Groups {
		for i := range g.Replicas {
			if slices.Contains(ids, g.Replicas[i].Node) {
				g.Replicas[i].Answers, g.Replicas[i].State = false, ""
			}
		}
	}
}

func TestJudge_EachFault(t *testing.T) {
	replica := func(v *clusterLook, group, i int) *replicaView { return &v.Groups[group].Replicas[i] }
	for name, c := range map[string]struct {
		change  func(v *clusterLook)
		cluster severity
		raft    severity
		checks  []string // of the findings of check cluster, without repeats, in the order of their names
	}{
		"all is well":            {func(*clusterLook) {}, severityOK, severityOK, nil},
		"idle after an election": {func(v *clusterLook) { replica(v, 0, 0).Commit, replica(v, 0, 0).LaterEnd = 1005, 1005 }, severityOK, severityOK, nil},
		"a follower is lost":     {func(v *clusterLook) { lose(v, "n3") }, severityWarning, severityWarning, []string{"nodes", "voters"}},
		"no majority": {
			func(v *clusterLook) {
				lose(v, "n2", "n3")
				v.Slots = 0
				replica(v, 0, 0).State, replica(v, 1, 0).State = "Candidate", "Candidate"
			},
			severityCritical, severityCritical,
			[]string{"leader", "nodes", "slots", "voters"},
		},
		"one group has no leader": {
			func(v *clusterLook) { replica(v, 1, 0).State = "Follower"; v.Slots = wire.Slots / 2 },
			severityCritical, severityCritical,
			[]string{"leader", "slots"},
		},
		"a node is given up": {
			func(v *clusterLook) {
				lost := nodeView{ID: "n4", Err: errors.New("refused"), State: "lost"}
				v.Nodes = append(v.Nodes, lost)
			}, severityOK, severityOK, nil,
		},
		"two versions": {func(v *clusterLook) { v.Nodes[2].Version = "v2" }, severityWarning, severityOK, []string{"version"}},
		"two leaders":  {func(v *clusterLook) { r := replica(v, 0, 2); r.State, r.Term = "Leader", 3 }, severityWarning, severityWarning, []string{"leader", "terms"}},
		"a replica lags and moves": {
			func(v *clusterLook) { r := replica(v, 0, 1); r.Applied, r.Later = 900, 950 },
			severityWarning, severityWarning,
			[]string{"lag"},
		},
		"a replica lags far": {
			func(v *clusterLook) { r := replica(v, 0, 1); r.Applied, r.Later = 100, 200 },
			severityCritical, severityCritical,
			[]string{"lag"},
		},
		"a replica stands still": {
			func(v *clusterLook) { r := replica(v, 0, 1); r.Applied, r.Later = 990, 990 },
			severityWarning, severityWarning,
			[]string{"still"},
		},
		"a leader does not apply": {
			func(v *clusterLook) { replica(v, 0, 0).LaterEnd = 2000 }, severityWarning, severityWarning, []string{"still"},
		},
		"a voter is in an old term": {func(v *clusterLook) { replica(v, 0, 1).Term = 3 }, severityWarning, severityWarning, []string{"terms"}},
		"a group of two": {
			func(v *clusterLook) { v.Groups[0].Replicas = v.Groups[0].Replicas[:2] }, severityWarning, severityWarning, []string{"voters"},
		},
		"a non-voter is away": {
			func(v *clusterLook) {
				r := replica(v, 0, 2)
				r.Voter, r.Answers, r.State = false, false, ""
				r.Applied = 0
			},
			severityWarning, severityWarning,
			[]string{"voters"}, // two voters are left
		},
		"the password is wrong": {
			func(v *clusterLook) {
				v.Nodes, v.Groups = []nodeView{{Addr: "a:1", Err: wire.ErrNoAuth}}, nil
			},
			severityUnknown, severityUnknown,
			[]string{"nodes"},
		},
		"the user may not ask": {
			func(v *clusterLook) { v.Nodes, v.Groups = []nodeView{{Addr: "a:1", Err: wire.ErrNoPerm}}, nil },
			severityUnknown, severityUnknown,
			[]string{"nodes"},
		},
		"nobody answers": {
			func(v *clusterLook) { v.Nodes, v.Groups = []nodeView{{Addr: "a:1", Err: errors.New("refused")}}, nil },
			severityCritical, severityCritical,
			[]string{"nodes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			view := healthyView()
			c.change(view)
			limits := lagLimits{warning: 50, critical: 500}
			report := judge("cluster", view, limits)
			var checks []string
			for _, f := range report.Findings {
				checks = append(checks, f.Check)
			}
			slices.Sort(checks)
			if checks = slices.Compact(checks); report.Severity != c.cluster || !slices.Equal(checks, c.checks) {
				t.Errorf("cluster: %s, %v, want %s and %v: %+v", report.Severity, checks, c.cluster, c.checks, report.Findings)
			}
			if raft := judge("raft", view, limits); raft.Severity != c.raft {
				t.Errorf("raft: %s, want %s: %+v", raft.Severity, c.raft, raft.Findings)
			}
		})
	}
}

// TestJudge_GroupsAreJudgedOneByOne demands that trouble in one group is not laid to another.
func TestJudge_GroupsAreJudgedOneByOne(t *testing.T) {
	view := healthyView()
	view.Groups[1].Replicas[0].State = "Follower"
	report := judge("raft", view, lagLimits{})
	if g := report.Groups; g[0].Severity != severityOK || g[1].Severity != severityCritical || g[0].Leader != "n1" || g[1].Leader != "" {
		t.Errorf("%+v", g)
	}
}
