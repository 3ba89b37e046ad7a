package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer/wire"
)

func (a *app) clusterCommand() *cobra.Command {
	one := func(use, short string, low, high int) *cobra.Command {
		verb := strings.ToUpper(strings.Fields(use)[0])
		return &cobra.Command{
			Use: use, Short: short, Args: between(low, high),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.operate(cmd, append([]string{"CLUSTER", verb}, args...)...)
			},
		}
	}
	status := &cobra.Command{
		Use: "status", Short: "Print the nodes and who holds what; needs no leader", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.clusterStatus(cmd) },
	}
	cluster := parent("cluster", "Look after the nodes of a cluster", status,
		one("rebalance", "Spread replicas and leaders over the nodes; prints how many groups change", 0, 0),
		one("drain NODE", "Have all replicas of a node move away", 1, 1),
		one("activate NODE", "Take a draining node back", 1, 1),
		one("replace NODE [BY]", "Give a node up and have another one hold what it held", 1, 2),
		one("forget NODE", "Take a node that holds nothing out of the cluster", 1, 1),
		a.clusterToken(),
		one("set KEY VALUE", "Set replicas, moves, spread or lost-after", 2, 2),
	)
	a.bind(cluster.PersistentFlags(), "raft")
	return cluster
}

// clusterToken makes a token with which nodes can join.
func (a *app) clusterToken() *cobra.Command {
	ttl := time.Hour
	cmd := &cobra.Command{
		Use: "token", Short: "Print a token with which nodes can join", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Second {
				return usagef("--ttl must be at least 1s")
			}
			return a.operate(cmd, "CLUSTER", "TOKEN", strconv.Itoa(int(ttl.Seconds())))
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long the token is good for")
	return cmd
}

// clusterView is what CLUSTER STATUS tells.
type clusterView struct {
	ClusterID string            `json:"clusterId"`
	Epoch     uint64            `json:"epoch"`
	Version   uint64            `json:"version"`
	Format    uint64            `json:"format"`
	Groups    int               `json:"groups"`
	Settings  map[string]string `json:"settings"`
	Nodes     []clusterNode     `json:"nodes"`
	Placement []clusterGroup    `json:"placements"`
}

type clusterNode struct {
	ID       string `json:"nodeId"`
	State    string `json:"state"`
	Alive    bool   `json:"alive"`
	SilentMs uint64 `json:"silentMs"`
	RaftAddr string `json:"raftAddr"`
	RESPAddr string `json:"respAddr"`
	Region   string `json:"region"`
	Zone     string `json:"zone"`
	Version  string `json:"version"`
	Replicas int    `json:"replicas"`
	Leaving  int    `json:"leaving"`
	Leads    int    `json:"leads"`
}

type clusterGroup struct {
	Group     string   `json:"group"`
	Leader    string   `json:"leader"`
	Moving    bool     `json:"moving"`
	Replicas  []string `json:"replicas"`
	Followers []string `json:"followers"`
	Leaving   []string `json:"leaving"`
}

func (a *app) clusterStatus(cmd *cobra.Command) error {
	reply, err := a.ask(cmd, operateTime, "CLUSTER", "STATUS")
	if err != nil {
		return err
	}
	view := viewOf(reply)
	if a.output == "json" {
		return a.print(cmd.OutOrStdout(), view, nil, nil)
	}
	var rows [][]string
	for _, n := range view.Nodes {
		state := n.State
		if !n.Alive {
			state += ", silent for " + (time.Duration(n.SilentMs) * time.Millisecond).Round(time.Second).String()
		}
		rows = append(rows, []string{
			n.ID, state, n.Region, n.Zone, strconv.Itoa(n.Replicas), strconv.Itoa(n.Leads), n.RaftAddr, n.RESPAddr, n.Version,
		})
	}
	w := cmd.OutOrStdout()
	header := []string{"NODE", "STATE", "REGION", "ZONE", "REPLICAS", "LEADS", "RAFT", "RESP", "VERSION"}
	if err := a.print(w, nil, header, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	rows = nil
	for _, g := range view.Placement {
		moving := ""
		if g.Moving {
			moving = "moving"
		}
		rows = append(rows, []string{g.Group, g.Leader, strings.Join(g.Replicas, " "), strings.Join(g.Leaving, " "), moving})
	}
	return a.print(w, nil, []string{"GROUP", "LEADER", "VOTERS", "LEAVING", ""}, rows)
}

func viewOf(r wire.Reply) clusterView {
	view := clusterView{
		ClusterID: r.Field("clusterId").Str(), Epoch: r.Field("epoch").Num(), Version: r.Field("version").Num(), Format: r.Field("format").Num(), Groups: int(r.Field("groups").Num()),
		Settings: map[string]string{},
	}
	for pair := range slices.Chunk(r.Field("settings").Elems(), 2) {
		view.Settings[pair[0].Str()] = pair[len(pair)-1].Str()
	}
	for _, n := range r.Field("nodes").Elems() {
		view.Nodes = append(view.Nodes, clusterNode{
			ID: n.Field("nodeId").Str(), State: n.Field("state").Str(), Alive: n.Field("alive").Bool(),
			SilentMs: n.Field("silentMs").Num(), RaftAddr: n.Field("raftAddr").Str(), RESPAddr: n.Field("respAddr").Str(),
			Region: n.Field("region").Str(), Zone: n.Field("zone").Str(), Version: n.Field("version").Str(),
			Replicas: int(n.Field("replicas").Num()), Leaving: int(n.Field("leaving").Num()), Leads: int(n.Field("leads").Num()),
		})
	}
	for _, p := range r.Field("placements").Elems() {
		name := strconv.FormatUint(p.Field("group").Num(), 10)
		if wire.GroupID(p.Field("group").Num()) == wire.MetaGroup {
			name = "meta"
		}
		view.Placement = append(view.Placement, clusterGroup{
			Group: name, Leader: p.Field("leader").Str(), Moving: p.Field("moving").Bool(),
			Replicas: texts(p.Field("replicas")), Followers: texts(p.Field("followers")), Leaving: texts(p.Field("leaving")),
		})
	}
	return view
}

// texts gives the elements of an array of strings.
func texts(r wire.Reply) []string {
	all := make([]string, 0, len(r.Elems()))
	for _, e := range r.Elems() {
		all = append(all, e.Str())
	}
	return all
}
