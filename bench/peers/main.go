// Command peers does the bench's work on others' systems: NATS JetStream with three replicas, etcd with three members, and Centrifuge, the
// library of Centrifugo, with one node in memory, each node a process on loopback. It is a module of its own, so that nothing of them is in the product. `quorate bench peers` builds and runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/sysmon"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := carryOut(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// work is what is asked for.
type work struct {
	peer     string // nats, nats-always, etcd or centrifuge
	kind     string // send or fanout
	senders  int
	streams  int
	members  int
	inFlight int
	size     int
	warmup   time.Duration
	window   time.Duration
}

func carryOut(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "node" {
		return runNode(ctx, args[1:])
	}
	_ = sysmon.Calm() // as the clients that measure Quorate; the nodes are as their makers have them
	var w work
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.StringVar(&w.peer, "peer", "nats", "nats (its default sync), nats-always (sync_interval: always), etcd or centrifuge")
	flags.StringVar(&w.kind, "work", "send", "send or fanout")
	flags.IntVar(&w.senders, "senders", 64, "senders with one message under way each")
	flags.IntVar(&w.streams, "streams", 2, "streams of three replicas, as many as the groups that they are compared with")
	flags.IntVar(&w.members, "members", 256, "members of the chat of fanout, a connection and a consumer each")
	flags.IntVar(&w.inFlight, "in-flight", 1, "messages of fanout that are not yet with all members")
	flags.IntVar(&w.size, "size", 200, "bytes of a message")
	flags.DurationVar(&w.warmup, "warmup", 2*time.Second, "time before anything counts")
	flags.DurationVar(&w.window, "for", 10*time.Second, "time that counts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quorate-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	res, err := do(ctx, w, dir)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

func runNode(ctx context.Context, args []string) error {
	var n node
	var peers string
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.StringVar(&n.kind, "peer", "", "nats, nats-always, etcd or centrifuge")
	flags.StringVar(&n.dir, "dir", "", "data")
	flags.IntVar(&n.number, "number", 0, "which of the nodes")
	flags.StringVar(&peers, "ports", "", "client and peer ports of all nodes: C0,P0,C1,P1,…")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, text := range strings.Split(peers, ",") {
		var port int
		if _, err := fmt.Sscan(text, &port); err != nil {
			return fmt.Errorf("ports: %w", err)
		}
		n.ports = append(n.ports, port)
	}
	switch n.kind {
	case "nats", "nats-always":
		return n.serveNATS(ctx)
	case "etcd":
		return n.serveEtcd(ctx)
	case "centrifuge":
		return n.serveCentrifuge(ctx)
	}
	return errors.New("a peer is nats, nats-always, etcd or centrifuge")
}
