package main

import (
	"context"
	"fmt"
	"log/slog"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/sequencer/wire"
	"github.com/quorate/quorate/trust"
)

const (
	peersTime   = 2 * time.Second  // for one node to tell what it knows
	operateTime = 30 * time.Second // for a change, with the redirections before it
)

func (a *app) raftCommand() *cobra.Command {
	peers := &cobra.Command{
		Use: "peers [GROUP]", Short: "Print the replicas of the groups and how they stand; needs no leader", Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.raftPeers(cmd, args) },
	}
	transfer := &cobra.Command{
		Use: "transfer GROUP [NODE]", Short: "Hand the leadership of a group to another node", Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.raftTransfer(cmd, args) },
	}
	change := func(verb, short string) *cobra.Command {
		return &cobra.Command{
			Use: verb + " GROUP NODE", Short: short, Args: exactly(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.operate(cmd, "RAFT", strings.ToUpper(verb), args[0], args[1])
			},
		}
	}
	snapshot := &cobra.Command{
		Use: "snapshot GROUP", Short: "Have the node at --resp-addr take a snapshot of its replica, which frees its log", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.operate(cmd, "RAFT", "SNAPSHOT", args[0]) },
	}
	raft := parent("raft", "Look after the Raft groups", peers, transfer,
		change("add", "Have a node hold a voter of a group"), change("remove", "Have a node no longer hold a voter of a group"),
		snapshot)
	a.bind(raft.PersistentFlags(), "raft")
	return raft
}

// raftPeer is one replica of one group. State, Term, Commit and Applied come from the node itself and are zero where it
// does not answer.
type raftPeer struct {
	Group    int    `json:"group"`
	Node     string `json:"nodeId"`
	Replica  string `json:"replica"`
	RaftAddr string `json:"raftAddr"`
	RESPAddr string `json:"respAddr"`
	Suffrage string `json:"suffrage"`
	Leader   bool   `json:"leader"` // as the node that was asked first knows it
	State    string `json:"state"`
	Term     uint64 `json:"term"`
	Commit   uint64 `json:"commit"`
	Applied  uint64 `json:"applied"`
}

func (p raftPeer) row() []string {
	leader, state, number := "", "no answer", func(n uint64) string { return strconv.FormatUint(n, 10) }
	if p.Leader {
		leader = "leader"
	}
	if p.State == "" {
		number = func(uint64) string { return "-" }
	} else {
		state = p.State
	}
	return []string{
		strconv.Itoa(p.Group), p.Node, leader, p.Suffrage, state, number(p.Term), number(p.Commit), number(p.Applied),
		p.RaftAddr, p.RESPAddr,
	}
}

func (a *app) raftPeers(cmd *cobra.Command, args []string) error {
	command := []string{"RAFT", "PEERS"}
	if len(args) == 1 {
		if err := checkGroup(args[0]); err != nil {
			return err
		}
		command = append(command, args[0])
	}
	client, err := a.raftClient()
	if err != nil {
		return err
	}
	defer client.Close() //nolint:errcheck // it only asked
	peers, err := askPeers(cmd.Context(), client, a.config.Raft.RESPAddr, command)
	if err != nil {
		return err
	}
	rows := make([][]string, len(peers))
	for i, p := range peers {
		rows[i] = p.row()
	}
	return a.print(cmd.OutOrStdout(), peers,
		[]string{"GROUP", "NODE", "LEADER", "SUFFRAGE", "STATE", "TERM", "COMMIT", "APPLIED", "RAFT", "RESP"}, rows)
}

// askPeers asks the node at addr for the replicas, and then each other node that it names for how it stands itself. A node
// that does not answer leaves its lines as the first one gave them.
func askPeers(ctx context.Context, client *wire.Client, addr string, command []string) ([]raftPeer, error) {
	peers, err := nodePeers(ctx, client, addr, command)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	asked := map[string]bool{"": true} // an address that is not known cannot be asked
	for _, p := range peers {
		asked[p.RESPAddr] = asked[p.RESPAddr] || p.State != ""
	}
	for _, p := range peers {
		if asked[p.RESPAddr] {
			continue
		}
		asked[p.RESPAddr] = true
		if its, err := nodePeers(ctx, client, p.RESPAddr, command); err == nil {
			takeOwn(peers, its)
		}
	}
	sort.Slice(peers, func(i, j int) bool {
		if peers[i].Group != peers[j].Group {
			return peers[i].Group < peers[j].Group
		}
		return peers[i].Node < peers[j].Node
	})
	return peers, nil
}

// takeOwn takes over what a node says of itself.
func takeOwn(peers, its []raftPeer) {
	for _, own := range its {
		for i := range peers {
			if p := &peers[i]; own.State != "" && p.Group == own.Group && p.Node == own.Node {
				p.State, p.Term, p.Commit, p.Applied = own.State, own.Term, own.Commit, own.Applied
			}
		}
	}
}

// nodePeers asks one node.
func nodePeers(ctx context.Context, client *wire.Client, addr string, command []string) ([]raftPeer, error) {
	ctx, cancel := context.WithTimeout(ctx, peersTime)
	defer cancel()
	reply, err := client.DoNode(ctx, addr, command...)
	if err != nil {
		return nil, err
	}
	var peers []raftPeer
	for _, r := range reply.Elems() {
		peers = append(peers, raftPeer{
			Group: int(r.Field("group").Num()), Node: r.Field("nodeId").Str(), Replica: r.Field("replica").Str(), RaftAddr: r.Field("raftAddr").Str(),
			RESPAddr: r.Field("respAddr").Str(), Suffrage: r.Field("suffrage").Str(), Leader: r.Field("leader").Bool(),
			State: r.Field("state").Str(), Term: r.Field("term").Num(), Commit: r.Field("commit").Num(),
			Applied: r.Field("applied").Num(),
		})
	}
	return peers, nil
}

func (a *app) raftTransfer(cmd *cobra.Command, args []string) error {
	return a.operate(cmd, append([]string{"RAFT", "TRANSFER"}, args...)...)
}

// checkGroup takes the number of a group, or meta.
func checkGroup(text string) error {
	if _, err := strconv.ParseUint(text, 10, 32); err != nil && text != "meta" {
		return usagef("GROUP is the number of a group, or meta, not %q", text)
	}
	return nil
}

// operate sends an operator's command to the node that carries it out, and says ok, or what the answer was.
func (a *app) operate(cmd *cobra.Command, command ...string) error {
	if command[0] == "RAFT" {
		if err := checkGroup(command[2]); err != nil {
			return err
		}
	}
	reply, err := a.ask(cmd, operateTime, command...)
	if err != nil {
		return err
	}
	text := reply.Str()
	if n, err := reply.Int(); err == nil {
		text = strconv.FormatInt(n, 10)
	}
	if text == "OK" {
		text = "ok"
	}
	return a.print(cmd.OutOrStdout(), map[string]string{"result": text}, []string{text}, nil)
}

// ask sends a command to the node at --resp-addr, and goes where that sends it.
func (a *app) ask(cmd *cobra.Command, timeout time.Duration, command ...string) (wire.Reply, error) {
	client, err := a.raftClient()
	if err != nil {
		return wire.Reply{}, err
	}
	defer client.Close() //nolint:errcheck // the answer is there
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	reply, err := client.DoFollow(ctx, a.config.Raft.RESPAddr, command...)
	if err != nil {
		return reply, fmt.Errorf("%s: %w", a.config.Raft.RESPAddr, err)
	}
	return reply, nil
}

// raftClient is a client of the node that the raft settings name.
func (a *app) raftClient() (*wire.Client, error) {
	c := a.config.Raft
	if _, _, err := splitAddr(c.RESPAddr); err != nil {
		return nil, usagef("--resp-addr: %w", err)
	}
	return operatorClient([]string{c.RESPAddr}, c.Username, c.PasswordFile, trust.Files{CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey})
}

// operatorClient is a client for commands that ask and change. What goes wrong is in their errors, so it logs nothing.
func operatorClient(seeds []string, username, passwordFile string, files trust.Files) (*wire.Client, error) {
	config := wire.ClientConfig{Seeds: seeds, Logger: slog.New(slog.DiscardHandler)}
	if passwordFile != "" {
		password, err := readSecret(passwordFile)
		if err != nil {
			return nil, err
		}
		config.Username, config.Password = username, string(password)
	}
	keys, err := openKeys(files, config.Logger)
	if err != nil {
		return nil, err
	}
	if keys != nil {
		config.Dial = keys.Dial
	}
	return wire.NewClient(config), nil
}
