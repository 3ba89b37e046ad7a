package wire

import (
	"context"
	"log/slog"
	"time"
)

// ClientConfig is how a Client works. Only Seeds is needed; what is zero gets the default named at the field.
type ClientConfig struct {
	Seeds              []string // host:port of some nodes; the others are learned from them
	Username, Password string   // for AUTH; Username "" is "default", Password "" is no AUTH
	Name               string   // CLIENT SETNAME, "quorate"

	MaxInFlight      int // requests queued or unanswered per node; beyond it ErrBusy. 16,384
	MaxInFlightBytes int // bytes of their arguments per node; beyond it ErrBusy. 32 MiB

	Logger *slog.Logger // slog.Default()
}

// Client talks to a cluster.
type Client struct{ cfg ClientConfig }

// Topology is what a client knows of the cluster.
type Topology struct {
	Groups []GroupRoute // by GroupID; empty until a node has told
}

// GroupRoute is where a group is served.
type GroupRoute struct {
	Group       GroupID
	First, Last Slot     // its slots, both included
	Leader      string   // RESP address, "" while none is known
	Replicas    []string // RESP addresses of the others
}

// NewClient makes a client. It opens nothing: connections are made when they are needed. The caller must Close it.
func NewClient(cfg ClientConfig) *Client { return &Client{cfg: cfg} }

// Submit sends a command to the leader of key's group and never waits. done is called exactly once with the reply, which
// is never an error reply, or an error: at once where the request is refused, else on a goroutine of the client, where it
// must not block. Until timeout has passed, what can be tried again is.
func (c *Client) Submit(key string, timeout time.Duration, done func(Reply, error), args ...string) {
	done(Reply{}, ErrClusterDown)
}

// Do is Submit that waits, at most until ctx ends.
func (c *Client) Do(ctx context.Context, key string, args ...string) (Reply, error) {
	return Reply{}, ErrClusterDown
}

// DoNode sends a command to the node at addr, once, whatever its key.
func (c *Client) DoNode(ctx context.Context, addr string, args ...string) (Reply, error) {
	return Reply{}, ErrClusterDown
}

// Refresh asks the cluster for its topology and waits for the answer.
func (c *Client) Refresh(ctx context.Context) error { return ErrClusterDown }

// Topology gives what the client knows of the cluster, without asking.
func (c *Client) Topology() Topology { return Topology{} }

// Groups gives the number of groups; it asks the cluster where it is not yet known.
func (c *Client) Groups(ctx context.Context) (int, error) { return 0, ErrClusterDown }

// LeaderOf gives the RESP address of a group's leader, "" while none is known.
func (c *Client) LeaderOf(g GroupID) string { return "" }

// ReplicasOf gives the RESP addresses of all nodes that hold a group, the leader first, as far as they are known.
func (c *Client) ReplicasOf(g GroupID) []string { return nil }

// Close ends all connections and calls done of all requests that are under way; then it waits for every goroutine. It may
// be called again. It must not be called from a done.
func (c *Client) Close() error { return nil }

func (c *Client) submitCtx(ctx context.Context, key string, done func(Reply, error), args ...string) {
	c.Submit(key, time.Second, done, args...)
}
